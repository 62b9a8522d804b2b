"""What a training of several epochs does after an interruption anywhere."""

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
import signal
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import TerminateOnSignal
from keras_port.callbacks import TrainingState
from keras_port.callbacks import _snapshots
from keras_port.checkpoints import read_snapshot
from keras_port.training import GradientModel
from tests.callbacks.scripted import wait_for_snapshots
from tests.small import small_arrays

STEPS = 4  # Of an epoch.
EPOCHS = 4


class End(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the training at a step, by an exception or by a signal."""

    def __init__(self, step: int, how: str) -> None:
        super().__init__()
        self.step = step
        self.how = how

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends the training."""
        if int(self.model.optimizer.iterations) != self.step:
            return
        if self.how == "error":
            raise RuntimeError("ended")
        if self.how == "signal":
            signal.raise_signal(signal.SIGTERM)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Ends the training after the snapshot of the step before."""
        if self.how == "error before" and (
            int(self.model.optimizer.iterations) == self.step
        ):
            raise RuntimeError("ended")


def build(base: Any = GradientModel, **kwargs: Any) -> keras.Model:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((4,))
    model = base(inputs, keras.layers.Dense(3, "softmax")(inputs))
    options = {
        "optimizer": keras.optimizers.SGD(0.1, momentum=0.9),
        "loss": "sparse_categorical_crossentropy",
    }
    model.compile(**{**options, **kwargs})
    return model


def fit(
    model: keras.Model,
    directory: Path,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    end: End | None = None,
    epochs: int = EPOCHS,
    stateful: Sequence[keras.callbacks.Callback] = (),
    data: Any = None,
    **kwargs: Any,
) -> keras.Model:
    """Trains, or continues a training that was interrupted."""
    state = TrainingState(directory, save_freq=1, stateful_callbacks=stateful)
    if not isinstance(model, GradientModel):
        kwargs["initial_epoch"] = state.epoch
    x, y = data or small_arrays(8 * STEPS)
    model.fit(
        x,
        y,
        batch_size=kwargs.pop("batch_size", 8),
        shuffle=False,
        epochs=epochs,
        callbacks=[
            *callbacks,
            *([end] if end else []),
            TerminateOnSignal(),
            state,
        ],
        verbose=0,
        **kwargs,
    )
    return model


def check_resumed(
    program: Callable[[Path, End | None], keras.Model],
    directory: Path,
    end: End,
) -> keras.Model:
    """Checks that an interrupted program ends as one that was not."""
    expected = program(directory / "whole", None)
    try:
        program(directory / "cut", end)
    except RuntimeError:
        wait_for_snapshots()
    assert 0 < TrainingState(directory / "cut").step < STEPS * EPOCHS
    found = program(directory / "cut", None)
    assert found.history.history == expected.history.history
    assert found.history.epoch == expected.history.epoch
    everything = zip(
        [*found.variables, *found.optimizer.variables],
        [*expected.variables, *expected.optimizer.variables],
        strict=True,
    )
    for one, other in everything:
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    return found


class Decay(keras.callbacks.Callback):  # type: ignore[misc]
    """Changes the learning rate before every epoch, without any state."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Changes the learning rate."""
        self.model.optimizer.learning_rate = 0.1 * 0.5**epoch


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.LearningRateScheduler(
            lambda epoch, rate: rate * 0.5 if epoch else rate
        ),
        slow(Decay),
    ],
)
@pytest.mark.parametrize(
    ("base", "how", "step"),
    [
        (GradientModel, "error before", 8),
        slow(GradientModel, "error before", 9),
        slow(GradientModel, "signal", 8),
        slow(keras.Model, "error before", 8),
        slow(keras.Model, "signal", 8),
    ],
)
def test_what_callbacks_do_before_an_epoch_is_done_once(
    tmp_path: Path, make: Any, base: Any, how: str, step: int
) -> None:
    def program(directory: Path, end: End | None) -> keras.Model:
        return fit(build(base), directory, [make()], end=end)

    found = check_resumed(program, tmp_path, End(step, how))
    assert float(found.optimizer.learning_rate) == pytest.approx(0.1 / 8)


@pytest.mark.parametrize("base", [GradientModel, slow(keras.Model)])
@pytest.mark.parametrize("swap_on_epoch", [True, slow(False)])
@pytest.mark.parametrize("step", [8, slow(9)])
def test_averages_are_swapped_as_without_an_interruption(
    tmp_path: Path, base: Any, swap_on_epoch: bool, step: int
) -> None:
    def program(directory: Path, end: End | None) -> keras.Model:
        optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
        return fit(
            build(base, optimizer=optimizer),
            directory,
            [swap],
            end=end,
            stateful=[swap] if base is keras.Model else (),
            validation_data=small_arrays(16),
        )

    check_resumed(program, tmp_path, End(step, "error before"))


STOCK: list[Callable[[], keras.callbacks.Callback]] = [
    lambda: keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=1.0
    ),
    lambda: keras.callbacks.EarlyStopping("loss", patience=3, min_delta=1.0),
    lambda: keras.callbacks.ModelCheckpoint("unused.keras", "loss"),
]


@pytest.mark.parametrize(
    ("make", "step"),
    [
        (STOCK[0], 6),
        (STOCK[1], 8),
        *(slow(make, step) for make in STOCK for step in (6, 8, 11)),
    ],
)
@pytest.mark.parametrize("validates", [True, slow(False)])
def test_a_signal_ends_no_epoch_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], keras.callbacks.Callback],
    step: int,
    validates: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    validation = {"validation_data": small_arrays(16)} if validates else {}
    check_resumed(
        lambda directory, end: fit(
            build(), directory, [make()], end=end, **validation
        ),
        tmp_path,
        End(step, "signal"),
    )


def test_a_stop_at_the_end_of_an_epoch_is_its_end(tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    expected = fit(build(), tmp_path / "whole").history.history
    fit(build(), tmp_path / "cut", [Stop()])
    newest = sorted((tmp_path / "cut").glob("*.npz"))[-1]
    assert read_snapshot(newest)["position"]["epoch"] == 2
    assert fit(build(), tmp_path / "cut").history.history == expected


@pytest.mark.parametrize("base", [GradientModel, slow(keras.Model)])
@pytest.mark.parametrize("kind", ["outputs", slow("weighted")])
def test_metrics_of_one_name_go_on(
    tmp_path: Path, base: Any, kind: str
) -> None:
    x, _ = small_arrays(8 * STEPS)

    def program(directory: Path, end: End | None) -> keras.Model:
        keras.utils.set_random_seed(4)
        inputs = keras.Input((4,))
        outputs = [keras.layers.Dense(1, name=name)(inputs) for name in "ab"]
        if kind == "weighted":
            outputs = outputs[:1]
        model = base(inputs, outputs)
        metrics: Any = ["mae"]
        if kind == "outputs":
            metrics = [["mae"], ["mae"]]
        model.compile(
            "sgd",
            ["mse"] * len(outputs),
            metrics=metrics,
            weighted_metrics=metrics if kind == "weighted" else None,
        )
        data = x, [x[:, :1]] * len(outputs)
        return fit(model, directory, end=end, data=data)

    check_resumed(program, tmp_path, End(6, "error before"))


def test_what_a_callback_changes_is_not_changed_twice(tmp_path: Path) -> None:
    class Decay(keras.callbacks.Callback):  # type: ignore[misc]
        """Changes the model after every batch, and counts them."""

        count = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate *= 0.9
            self.count += 1

        def get_state(self) -> dict[str, Any]:
            return {"count": self.count}

        def set_state(self, state: dict[str, Any]) -> None:
            self.count = state["count"]

    counts = []

    def program(directory: Path, end: End | None) -> keras.Model:
        decay = Decay()
        model = fit(build(), directory, [decay], end=end, stateful=[decay])
        counts.append(decay.count)
        return model

    check_resumed(program, tmp_path, End(7, "error before"))
    assert counts == [STEPS * EPOCHS] * 2


@pytest.mark.parametrize("listed", [True, False])
def test_a_subclass_restores_its_own_state(
    tmp_path: Path, listed: bool
) -> None:
    class Five(keras.callbacks.EarlyStopping):  # type: ignore[misc]
        """Stops after five epochs of several starts."""

        epochs = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epochs += 1
            if self.epochs == 5:
                self.stopped_epoch = epoch
                self.model.stop_training = True

        def get_state(self) -> dict[str, Any]:
            return {"epochs": self.epochs, "stopped_epoch": self.stopped_epoch}

        def set_state(self, state: dict[str, Any]) -> None:
            self.epochs = state["epochs"]
            self.stopped_epoch = state["stopped_epoch"]

    for epochs, expected in ((3, 3), (8, 5), (8, 5)):
        five = Five("loss")
        stateful = [five] if listed else ()
        model = fit(build(), tmp_path, [five], epochs=epochs, stateful=stateful)
        assert len(model.history.epoch) == expected


def test_a_callback_may_have_the_name_of_another(tmp_path: Path) -> None:
    class EarlyStopping(keras.callbacks.Callback):  # type: ignore[misc]
        """Somebody else's, with a state of other fields."""

        def get_state(self) -> dict[str, Any]:
            return {"seen": [1, 2]}

        def set_state(self, state: dict[str, Any]) -> None:
            assert state == {"seen": [1, 2]}

    for epochs in (2, 3):
        assert TrainingState(tmp_path).step == epochs // 3 * 2 * STEPS
        own = EarlyStopping()
        fit(build(), tmp_path, [own], epochs=epochs, stateful=[own])


@pytest.mark.parametrize(
    "changes_rate", [False, True], ids=["as it was", "changed by the program"]
)
def test_a_cell_runs_again_after_a_callback_has_changed_the_rate(
    tmp_path: Path, changes_rate: bool
) -> None:
    model = build()

    def cell(end: End | None = None) -> None:
        fit(model, tmp_path, [Decay()], end=end)

    with pytest.raises(RuntimeError, match="ended"):
        cell(End(10, "error"))
    if changes_rate:
        model.optimizer.learning_rate = 0.03
        with pytest.raises(ValueError, match=r"learning_rate 0.1 there, 0.03"):
            cell()
        return
    cell()
    assert int(model.optimizer.iterations) == STEPS * EPOCHS
    whole = fit(build(), tmp_path / "whole", [Decay()])
    np.testing.assert_array_equal(
        whole.get_weights()[0], model.get_weights()[0]
    )


def test_a_log_of_epochs_is_continued(tmp_path: Path) -> None:
    def run(epochs: int) -> list[str]:
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
        fit(build(), tmp_path / "state", [log], epochs=epochs)
        lines = (tmp_path / "log.csv").read_text().splitlines()
        return [line.partition(",")[0] for line in lines]

    assert run(2) == ["epoch", "0", "1"]
    assert run(2) == ["epoch", "0", "1"]
    assert run(4) == ["epoch", "0", "1", "2", "3"]


class Draw(keras.layers.Layer):  # type: ignore[misc]
    """Adds noise, also in inference."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        super().__init__()
        self.draw = draw
        self.generator = tf.random.Generator.from_seed(3)

    def call(self, inputs: Any) -> Any:
        """Returns the inputs with noise."""
        shape = keras.ops.shape(inputs)
        if self.draw is None:
            return inputs + self.generator.normal(shape)
        return inputs + self.draw(shape)


def build_noisy(draw: Any) -> keras.Model:
    keras.utils.clear_session()  # In Keras 3.12 a seed does not.
    keras.utils.set_random_seed(4)
    inputs = keras.Input((4,))
    noisy = Draw(draw)(inputs)
    model = GradientModel(inputs, keras.layers.Dense(3, "softmax")(noisy))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("draw", [keras.random.normal, None])
def test_random_numbers_without_a_seed_generator_go_on(
    tmp_path: Path, draw: Any
) -> None:
    check_resumed(
        lambda directory, end: fit(build_noisy(draw), directory, end=end),
        tmp_path,
        End(6, "error before"),
    )


@pytest.mark.parametrize("kwargs", [{}, {"run_eagerly": True}])
def test_random_numbers_that_cannot_go_on_are_named(
    tmp_path: Path, kwargs: dict[str, Any], recwarn: pytest.WarningsRecorder
) -> None:
    model = build_noisy(tf.random.normal)
    model.compile("sgd", "sparse_categorical_crossentropy", **kwargs)
    fit(model, tmp_path, epochs=1)
    found = [
        str(one.message) for one in recwarn if "random" in str(one.message)
    ]
    if kwargs:
        assert not found  # Nothing is traced.
    else:
        (message,) = found
        assert "random_normal/RandomStandardNormal`, and" in message
        assert "Draw with `keras.random` or" in message


def test_states_of_a_stateful_layer_go_on(tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=(32, 3, 2)).astype("float32")

    def program(directory: Path, end: End | None) -> keras.Model:
        keras.utils.set_random_seed(4)
        inputs = keras.Input(batch_shape=(8, 3, 2))
        states = keras.layers.LSTM(4, stateful=True)(inputs)
        model = GradientModel(inputs, keras.layers.Dense(1)(states))
        model.compile("sgd", "mse")
        return fit(model, directory, end=end, data=(x, x[:, 0, :1]))

    check_resumed(program, tmp_path, End(6, "error before"))


@pytest.mark.parametrize("first", [False, True])
def test_a_history_of_the_programs_own_may_be_anywhere(
    tmp_path: Path, first: bool
) -> None:
    def program(directory: Path, end: End | None) -> keras.Model:
        history = keras.callbacks.History()
        callbacks = [Decay(), history]
        if first:
            callbacks.reverse()
        return fit(build(), directory, callbacks, end=end)

    check_resumed(program, tmp_path, End(8, "error before"))


def test_a_stock_model_without_an_epoch_left_gets_the_end(
    tmp_path: Path,
) -> None:
    x, y = small_arrays(8 * STEPS)

    def program(directory: Path) -> list[Any]:
        """Trains in two parts, as transfer learning does."""
        _snapshots._ended.clear()  # As a new process.
        model = build(keras.Model)
        histories = []
        for rate in (0.1, 0.01):
            model.compile(
                keras.optimizers.Adam(rate), "sparse_categorical_crossentropy"
            )
            state = TrainingState(directory)
            model.fit(
                x,
                y,
                epochs=2,
                initial_epoch=state.epoch,
                shuffle=False,
                callbacks=[state],
                verbose=0,
            )
            histories.append(
                (model.history.epoch, model.history.history["loss"])
            )
        return [*histories, *model.get_weights()]

    first, again = program(tmp_path), program(tmp_path)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [epochs for epochs, _ in first[:2]] == [[0, 1]] * 2


class StatefulLoss(keras.losses.Loss):  # type: ignore[misc]
    """Draws, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.random.SeedGenerator(1)
        self.calls = tf.Variable(0.0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of every example."""
        self.calls.assign_add(1.0)
        noise = keras.random.uniform((), seed=self.generator)
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
        return losses * (1 + noise / self.calls)


class StatefulRegularizer(keras.regularizers.Regularizer):  # type: ignore[misc]
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = tf.Variable(0.0)

    def __call__(self, x: Any) -> Any:
        """Returns the loss of a weight."""
        self.calls.assign_add(1.0)
        return tf.reduce_sum(x**2) / self.calls


def test_states_of_losses_and_regularizers_go_on(tmp_path: Path) -> None:
    def program(directory: Path, end: End | None) -> keras.Model:
        keras.utils.set_random_seed(4)
        inputs = keras.Input((4,))
        layer = keras.layers.Dense(
            3, "softmax", kernel_regularizer=StatefulRegularizer()
        )
        model = GradientModel(inputs, layer(inputs))
        model.compile("sgd", StatefulLoss())
        return fit(model, directory, end=end)

    check_resumed(program, tmp_path, End(6, "error before"))


def test_the_position_in_the_data_leaves_out_the_validation(
    tmp_path: Path,
) -> None:
    def program(directory: Path, end: End | None) -> keras.Model:
        return fit(
            build(),
            directory,
            end=end,
            data=small_arrays(40),
            batch_size=5,
            validation_split=0.25,
            steps_per_epoch=3,
        )

    check_resumed(program, tmp_path, End(7, "error before"))


def test_a_cell_runs_again_after_a_callback_has_changed_a_layer(
    tmp_path: Path,
) -> None:
    class Anneal(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[1].rate = 0.5 / (epoch + 1)

    keras.utils.set_random_seed(4)
    inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5)(inputs)
    model = GradientModel(inputs, keras.layers.Dense(3, "softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(RuntimeError, match="ended"):
        fit(model, tmp_path, [Anneal()], end=End(10, "error"))
    fit(model, tmp_path, [Anneal()])
    assert int(model.optimizer.iterations) == STEPS * EPOCHS


def test_two_of_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Two `TrainingState` restore"):
        fit(build(), tmp_path / "a", [TrainingState(tmp_path / "b")])
