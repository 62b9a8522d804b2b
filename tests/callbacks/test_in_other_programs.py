"""The callbacks on models and in programs that are not this package's."""

import copy
import pathlib
import pickle
from typing import Any
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import callbacks
from keras_port import training
from keras_port.callbacks import _snapshots
from keras_port.callbacks import get_step

X = np.random.default_rng(0).random((60, 4), "float32")
Y = np.arange(60) % 3


def stock_model(**kwargs: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, "softmax")]
    )
    model.compile(
        kwargs.pop("optimizer", "sgd"),
        kwargs.pop("loss", "sparse_categorical_crossentropy"),
        **{"metrics": ["accuracy"], **kwargs},
    )
    return model


class Gan(keras.Model):
    """Trains two parts with two optimizers, and leaves the third unused."""

    def __init__(self, nested: bool = False) -> None:
        super().__init__()
        self.first, self.second = keras.layers.Dense(1), keras.layers.Dense(1)
        self.nested = nested

    def call(self, x: Any) -> Any:
        return self.first(x) + self.second(x)

    def use(self, *own: Any) -> None:
        if self.nested:
            self.all = {"a": own[0], "b": own[1]}
        else:
            self.first_optimizer, self.second_optimizer = own
        self.own = lambda: own

    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        for part, own in zip(
            (self.first, self.second), self.own(), strict=True
        ):
            gradients = tape.gradient(loss, part.trainable_variables)
            own.apply(gradients, part.trainable_variables)
        return {"loss": loss}


@pytest.mark.fault("C07", "P3")
@pytest.mark.parametrize("nested", [False, True])
def test_steps_are_counted_with_several_optimizers(nested: bool) -> None:
    model = Gan(nested)
    model(X[:1])
    model.compile(loss="mse")
    model.use(keras.optimizers.Adam(), keras.optimizers.Adam())
    history = model.fit(
        X,
        X[:, :1],
        batch_size=10,
        verbose=0,
        callbacks=[callbacks.StepEvaluation((X, X[:, :1]), eval_freq=2)],
    )
    assert history.history["val_step"] == [2, 4, 6]
    assert get_step(model) == 6


@pytest.mark.fault("P11")
def test_a_model_without_an_optimizer_is_refused() -> None:
    class Counts(keras.Model):
        def train_step(self, data: Any) -> Any:
            return {"n": tf.constant(1.0)}

    inputs = keras.Input((4,))
    model = Counts(inputs, keras.layers.Dense(1)(inputs))
    model.compile(optimizer=None)
    with pytest.raises(ValueError, match="`StepEvaluation` counts the updates"):
        model.fit(X, Y, callbacks=[callbacks.StepEvaluation((X, Y))])


@pytest.mark.fault("C08")
@pytest.mark.parametrize("base", [keras.Model, training.GradientModel])
def test_a_test_step_has_its_own_results(base: Any) -> None:
    class Own(base):  # type: ignore[misc]
        def test_step(self, data: Any) -> Any:
            x, y = data
            error = (self(x, training=False) - y) ** 2
            return {"loss": keras.ops.mean(error), "worst": error[0]}

    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(4)(inputs))
    model.compile("sgd", "mse")
    history = model.fit(
        X,
        X,
        batch_size=10,
        verbose=0,
        callbacks=[callbacks.StepEvaluation((X, X), eval_freq=6)],
    ).history
    right = model.evaluate(X, X, batch_size=60, verbose=0, return_dict=True)
    assert history["val_loss"] == [pytest.approx(right["loss"])]
    assert history["val_worst_3"] == [pytest.approx(right["worst"][3])]


class Sampling(keras.layers.Layer):
    """Draws in every call, as in a variational autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(5)
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        noise = keras.random.normal(
            keras.ops.shape(x), seed=self.seed_generator
        )
        return x + noise


@pytest.mark.fault("C11", "P20")
@pytest.mark.parametrize("base", [keras.Model, training.GradientModel])
def test_an_evaluation_restores_all_state(base: Any) -> None:
    def train(*calls: Any) -> list[np.ndarray]:
        keras.utils.set_random_seed(3)
        inputs = keras.Input((4,))
        hidden = Sampling()(keras.layers.Dense(2)(inputs))
        model = base(inputs, keras.layers.Dense(4)(hidden))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(
            X, X, batch_size=10, shuffle=False, verbose=0, callbacks=list(calls)
        )
        return list(model.get_weights())

    plain = train()
    evaluated = train(callbacks.StepEvaluation((X, X), eval_freq=2))
    for one, other in zip(plain, evaluated, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.fault("C13")
def test_averages_of_the_weights_are_evaluated_and_kept() -> None:
    def run(*calls: Any, **kwargs: Any) -> Any:
        model = stock_model(
            optimizer=keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
        )
        history = model.fit(
            X,
            Y,
            batch_size=10,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=list(calls),
            **kwargs,
        )
        loss = model.evaluate(X, Y, verbose=0)[0]
        return history.history.get("val_loss"), loss

    swap = keras.callbacks.SwapEMAWeights
    right = run(swap(), validation_data=(X, Y))[0]
    evaluate = callbacks.StepEvaluation((X, Y), eval_freq=6)
    np.testing.assert_allclose(run(evaluate)[0], right, rtol=1e-6)
    np.testing.assert_allclose(run(swap(), evaluate)[0], right, rtol=1e-6)
    frequent = callbacks.StepEvaluation((X, Y), eval_freq=2)
    stopping = callbacks.StepEarlyStopping(monitor="val_loss")
    losses, loss = run(frequent, stopping)
    assert loss == pytest.approx(min(losses), rel=1e-5)
    assert loss == pytest.approx(run()[1], rel=1e-5)


@pytest.mark.fault("C14")
def test_a_metric_with_a_value_per_class_has_a_result_per_class() -> None:
    one_hot = np.eye(3, dtype="float32")[Y]
    model = stock_model(
        loss="categorical_crossentropy", metrics=[keras.metrics.F1Score()]
    )
    history = model.fit(
        X,
        one_hot,
        batch_size=10,
        verbose=0,
        callbacks=[
            callbacks.StepEvaluation((X, one_hot), eval_freq=6),
            callbacks.StepEarlyStopping(monitor="val_f1_score_1", mode="max"),
        ],
    ).history
    values = model.evaluate(X, one_hot, verbose=0)[1]
    for index in range(3):
        assert history[f"val_f1_score_{index}"] == [
            pytest.approx(values[index])
        ]


@pytest.mark.fault("C18")
def test_a_stock_model_ignores_a_class_in_an_evaluation() -> None:
    labels = np.where(np.arange(60) % 4, Y, -1)
    model = stock_model(
        loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=-1),
        metrics=[],
    )
    history = model.fit(
        X,
        labels,
        verbose=0,
        callbacks=[callbacks.StepEvaluation((X, labels), eval_freq=2)],
    ).history
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.fault("C20")
@pytest.mark.filterwarnings("ignore:Learning rate reduction is conditioned")
def test_epochs_without_an_evaluation_show_no_result() -> None:
    model = stock_model(optimizer=keras.optimizers.SGD(0.1))
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", patience=2, factor=0.5
    )
    shown: list[int] = []
    log = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            shown.append(epoch) if "val_loss" in logs else None
        )
    )
    history = model.fit(
        X[:20],
        Y[:20],
        batch_size=10,
        epochs=20,
        verbose=0,
        callbacks=[
            log,
            plateau,
            callbacks.StepEvaluation((X, Y), eval_freq=12),
        ],
    ).history
    assert len(history["val_loss"]) == 3
    assert shown == [5, 11, 17]
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)


@pytest.mark.fault("C20")
def test_results_reach_stock_callbacks_in_any_order() -> None:
    seen: list[tuple[int, float]] = []
    log = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (
            seen.append((batch, logs["val_loss"]))
            if "val_loss" in logs
            else None
        )
    )
    history = (
        stock_model()
        .fit(
            X,
            Y,
            batch_size=10,
            verbose=0,
            callbacks=[log, callbacks.StepEvaluation((X, Y), eval_freq=2)],
        )
        .history
    )
    values = history["val_loss"]
    assert [batch for batch, _ in seen] == [1, 2, 3, 4, 5]
    assert [value for _, value in seen][::2] == values


@pytest.mark.fault("C28", "P23")
def test_a_training_without_an_evaluation_gives_a_warning() -> None:
    with pytest.warns(UserWarning, match="No evaluation: the training ended"):
        stock_model().fit(
            X,
            Y,
            batch_size=10,
            verbose=0,
            callbacks=[callbacks.StepEvaluation((X, Y))],
        )


@pytest.mark.fault("C38")
@pytest.mark.parametrize("add_history", [True, False])
def test_callbacks_work_in_a_loop_of_ones_own(add_history: bool) -> None:
    model = stock_model()
    seen: list[int] = []

    class Listens(callbacks.EvaluationListener):
        def on_evaluation_end(self, step: int, logs: Any) -> None:
            seen.append(step)

    hooks = keras.callbacks.CallbackList(
        [callbacks.StepEvaluation((X, Y), eval_freq=2), Listens()],
        add_history=add_history,
        model=model,
    )
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for batch in range(6):
        rows = slice(10 * batch, 10 * batch + 10)
        hooks.on_train_batch_begin(batch)
        logs = model.train_on_batch(X[rows], Y[rows], return_dict=True)
        hooks.on_train_batch_end(batch, logs)
    hooks.on_epoch_end(0, {})
    hooks.on_train_end()
    assert seen == [2, 4, 6]


def unpickle(one: Any) -> Any:
    return pickle.loads(pickle.dumps(one))


@pytest.mark.fault("E6")
@pytest.mark.parametrize("duplicate", [copy.deepcopy, unpickle])
def test_callbacks_and_the_history_are_copied_after_a_training(
    duplicate: Any, tmp_path: Any
) -> None:
    calls = [
        callbacks.StepEvaluation((X, Y), eval_freq=2),
        callbacks.StepEarlyStopping(),
        callbacks.StepProgress(),
        callbacks.TerminateOnSignal(),
        callbacks.TrainingState(tmp_path / "state"),
        callbacks.StepCheckpoint(tmp_path / "best.keras"),
    ]
    model = stock_model()
    history = model.fit(X, Y, verbose=0, callbacks=calls)
    assert duplicate(history).history == history.history
    for one in calls:
        assert type(duplicate(one)) is type(one)


class Interrupt(keras.callbacks.Callback):
    """Ends the training like Ctrl-C in a notebook."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if get_step(self.model) == self.step:
            raise KeyboardInterrupt


def fit_interrupted(fit: Any, step: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupt(step))


def small_mnist_batches(start_batch: int) -> tf.data.Dataset:
    return (
        tf.data.Dataset.from_tensor_slices((X, Y))
        .batch(6)
        .repeat()
        .skip(start_batch)
    )


@pytest.mark.fault("C01")
@pytest.mark.parametrize("base", [keras.Model, training.GradientModel])
@pytest.mark.parametrize("total", [5, 3])
def test_a_finished_training_ends_at_once(
    base: Any, total: int, tmp_path: Any
) -> None:
    def train(total: int) -> int:
        inputs = keras.Input((4,))
        model = base(inputs, keras.layers.Dense(3, "softmax")(inputs))
        model.compile("sgd", "sparse_categorical_crossentropy")
        state = callbacks.TrainingState(tmp_path)
        steps = total - state.step
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(
                small_mnist_batches(state.batches_seen),
                steps_per_epoch=steps,
                callbacks=[state],
                verbose=0,
            )
        return get_step(model)

    assert train(5) == 5
    if base is keras.Model:
        # Keras takes both for "not given"; here that is an error.
        with pytest.raises(ValueError, match="number of steps"):
            train(total)
    else:
        assert train(total) == 5


@pytest.mark.fault("C04")
def test_one_object_knows_the_newest_step(tmp_path: Any) -> None:
    model = stock_model()
    state = callbacks.TrainingState(tmp_path)
    starts = []
    while state.step < 10:
        starts.append(state.batches_seen)
        model.fit(
            small_mnist_batches(state.batches_seen),
            steps_per_epoch=5,
            callbacks=[state],
            shuffle=False,
            verbose=0,
        )
    assert starts == [0, 5]
    assert (state.step, state.batches_seen) == (10, 10)


@pytest.mark.fault("C05")
@pytest.mark.parametrize("ready_made", [False, True])
def test_an_interrupted_cell_is_run_again(
    tmp_path: Any, ready_made: bool
) -> None:
    model = stock_model()
    kept = callbacks.TrainingState(tmp_path, save_freq=5)

    def cell(*more: Any) -> None:
        state = kept
        if not ready_made:
            state = callbacks.TrainingState(tmp_path, save_freq=5)
        model.fit(
            small_mnist_batches(state.batches_seen),
            steps_per_epoch=10 - state.step,
            callbacks=[state, *more],
            shuffle=False,
            verbose=0,
        )

    fit_interrupted(cell, 7)
    cell()
    assert get_step(model) == 10
    plain = stock_model()
    plain.fit(
        small_mnist_batches(0), steps_per_epoch=10, shuffle=False, verbose=0
    )
    np.testing.assert_array_equal(
        plain.get_weights()[0], model.get_weights()[0]
    )


@pytest.mark.fault("C05")
def test_a_model_ahead_of_its_snapshot_is_refused(tmp_path: Any) -> None:
    model = stock_model()

    def fit() -> None:
        state = callbacks.TrainingState(tmp_path)
        assert state.batches_seen in (0, 2)  # Where the data starts.
        model.fit(X, Y, shuffle=False, verbose=0, callbacks=[state])

    fit()
    model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="The model has made 4 steps"):
        fit()
    other = tmp_path / "other"
    state = callbacks.TrainingState(other)
    new = stock_model()
    with pytest.raises(KeyboardInterrupt):
        new.fit(X, Y, verbose=0, callbacks=[state, Interrupt(1)])
    with pytest.raises(ValueError, match="no snapshot"):
        new.fit(X, Y, verbose=0, callbacks=[callbacks.TrainingState(other)])


@pytest.mark.fault("C06")
def test_mixed_precision_resumes_in_a_stock_model(tmp_path: Any) -> None:
    keras.config.set_dtype_policy("mixed_float16")

    def program(epochs: int) -> int:
        keras.utils.clear_session()
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(8, name="a"),
                keras.layers.Dense(3, "softmax", dtype="float32", name="b"),
            ]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        state = callbacks.TrainingState(tmp_path)
        model.fit(
            X,
            Y,
            batch_size=10,
            epochs=epochs,
            initial_epoch=state.epoch,
            verbose=0,
            callbacks=[state],
        )
        return get_step(model)

    assert program(1) == 6
    assert program(2) == 12


@pytest.mark.fault("C07", "P3")
@pytest.mark.parametrize("base", [keras.Model, training.GradientModel])
def test_the_slots_of_all_optimizers_are_resumed(
    base: Any, tmp_path: Any
) -> None:
    class Own(base):  # type: ignore[misc]
        call = Gan.call
        train_step = Gan.train_step

    def program(directory: Any, interrupted_at: int | None) -> Any:
        keras.utils.clear_session()
        keras.utils.set_random_seed(2)
        model = Own()
        model.first, model.second = keras.layers.Dense(1), keras.layers.Dense(1)
        model(X[:1])
        model.compile(loss="mse")
        model.a, model.b = keras.optimizers.Adam(), keras.optimizers.Adam(0.1)
        model.own = lambda: (model.a, model.b)
        more = [] if interrupted_at is None else [Interrupt(interrupted_at)]
        state = callbacks.TrainingState(directory, save_freq=2)
        model.fit(
            X,
            X[:, :1],
            batch_size=10,
            shuffle=False,
            verbose=0,
            callbacks=[*more, state],
        )
        return model

    plain = program(tmp_path / "plain", None)
    fit_interrupted(lambda stop: program(tmp_path / "cut", stop.step), 5)
    resumed = program(tmp_path / "cut", None)
    for one, other in zip(
        [*plain.variables, *plain.a.variables, *plain.b.variables],
        [*resumed.variables, *resumed.a.variables, *resumed.b.variables],
        strict=True,
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.fault("C09", "P2")
@pytest.mark.parametrize("halves", [False, True])
def test_batches_are_counted_with_a_train_step_of_ones_own(
    halves: bool, tmp_path: Any
) -> None:
    class Own(training.GradientModel):
        def train_step(self, data: Any) -> Any:
            x, y = data
            if halves:
                result = self.compute_gradients(x, y)
                self.apply_gradients(result.grads_and_vars)
                return {"loss": result.loss}
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - 1) ** 2)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

    inputs = keras.Input((4,))
    model = Own(inputs, keras.layers.Dense(3, "softmax")(inputs))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(
        X,
        Y,
        batch_size=10,
        verbose=0,
        callbacks=[callbacks.TrainingState(tmp_path)],
    )
    state = callbacks.TrainingState(tmp_path)
    assert (state.step, state.batches_seen) == (6, 6)


@pytest.mark.fault("C22")
def test_a_learning_rate_that_was_changed_goes_on(tmp_path: Any) -> None:
    rates = []

    def program() -> None:
        model = stock_model(optimizer=keras.optimizers.SGD(0.1))
        for rate in (0.1, 0.01):
            model.optimizer.learning_rate = rate
            model.fit(
                X,
                Y,
                batch_size=10,
                verbose=0,
                callbacks=[callbacks.TrainingState(tmp_path)],
            )
            rates.append(float(model.optimizer.learning_rate))

    program()
    _snapshots._ended.clear()  # As in another process.
    program()  # It is finished.
    assert rates == pytest.approx([0.1, 0.01] * 2)
    changed = stock_model(optimizer=keras.optimizers.SGD(0.2), metrics=[])
    with pytest.raises(ValueError, match=r"learning_rate 0\.1 there, 0\.2 her"):
        changed.fit(
            X, Y, verbose=0, callbacks=[callbacks.TrainingState(tmp_path)]
        )
    model = stock_model(optimizer=keras.optimizers.SGD(0.1), metrics=[])
    model.fit(
        X,
        Y,
        batch_size=10,
        epochs=3,
        initial_epoch=1,
        verbose=0,
        callbacks=[callbacks.TrainingState(tmp_path)],
    )
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


class Decay(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule without `get_config`, as in the Transformer tutorial."""

    def __call__(self, step: Any) -> Any:
        return 0.1 * tf.math.rsqrt(tf.cast(step, tf.float32) + 1)


@pytest.mark.fault("C23")
def test_what_has_no_configuration_is_resumed(tmp_path: Any) -> None:
    def program(epochs: int) -> int:
        model = stock_model(optimizer=keras.optimizers.Adam(Decay()))
        state = callbacks.TrainingState(tmp_path)
        model.fit(
            X,
            Y,
            batch_size=10,
            epochs=epochs,
            initial_epoch=state.epoch,
            verbose=0,
            callbacks=[state],
        )
        return get_step(model)

    assert program(1) == 6
    assert program(2) == 12


@pytest.mark.fault("C25")
def test_the_order_of_callbacks_does_not_matter(tmp_path: Any) -> None:
    def run(*monitors: str, freq: int = 2, epochs: int = 1) -> dict[str, Any]:
        model = stock_model()
        stops = [
            callbacks.StepEarlyStopping(monitor=name, patience=99)
            for name in monitors
        ]
        state = callbacks.TrainingState(tmp_path)
        model.fit(
            X,
            Y,
            batch_size=10,
            epochs=epochs,
            initial_epoch=state.epoch,
            verbose=0,
            callbacks=[
                callbacks.StepEvaluation((X, Y), eval_freq=freq),
                *stops,
                state,
            ],
        )
        return {stop.monitor: stop.best for stop in stops}

    best = run("val_loss", "val_accuracy")
    again = run("val_accuracy", "val_loss", freq=100, epochs=2)
    assert again == best
    with pytest.raises(ValueError, match="only there `StepEarly"):
        run("val_accuracy", epochs=3)


@pytest.mark.fault("P25")
@pytest.mark.parametrize("path", ["", "gs://bucket/state"])
def test_a_directory_is_a_directory(path: str) -> None:
    with pytest.raises(ValueError, match="directory"):
        callbacks.TrainingState(path)


@pytest.mark.fault("C70")
@pytest.mark.parametrize(
    "value", [{1: "int key"}, {"t": (1, 2)}, {"s": {1}}, {"b": [b"x"]}]
)
def test_a_state_that_a_snapshot_cannot_hold_is_named(
    value: Any, tmp_path: Any
) -> None:
    class Odd(keras.callbacks.Callback):
        def get_state(self) -> Any:
            return value

        def set_state(self, state: Any) -> None: ...

    odd = Odd()
    state = callbacks.TrainingState(tmp_path, stateful_callbacks=[odd])
    with pytest.raises(TypeError, match="`get_state` of `Odd` must return"):
        stock_model().fit(X, Y, verbose=0, callbacks=[odd, state])


@pytest.mark.fault("C40", "P22")
@pytest.mark.parametrize("base", [keras.Model, training.GradientModel])
@pytest.mark.parametrize("endless", [False, True])
@pytest.mark.parametrize(
    "stop",
    [3, 8, *(pytest.param(step, marks=pytest.mark.slow) for step in (4, 7))],
)
def test_a_training_of_several_epochs_goes_on(
    base: Any, endless: bool, stop: int, tmp_path: Any
) -> None:
    def program(directory: Any, *more: Any) -> Any:
        keras.utils.set_random_seed(4)
        inputs = keras.Input((4,))
        model = base(inputs, keras.layers.Dense(3, "softmax")(inputs))
        model.compile(
            keras.optimizers.SGD(0.1),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        state = callbacks.TrainingState(directory, save_freq=1)
        x, y, steps = X[:20], Y[:20], None
        if endless:
            x, y, steps = small_mnist_batches(0), None, 4
        kwargs = {}
        if base is keras.Model:
            kwargs["initial_epoch"] = state.epoch
        schedule = keras.callbacks.LearningRateScheduler(
            lambda epoch: 0.1 / (epoch + 1)
        )
        model.fit(
            x,
            y,
            steps_per_epoch=steps,
            batch_size=None if endless else 5,
            epochs=3,
            shuffle=False,
            verbose=0,
            callbacks=[schedule, *more, state],
            **kwargs,
        )
        return model

    plain = program(tmp_path / "plain")
    fit_interrupted(lambda cut: program(tmp_path / "cut", cut), stop)
    if base is keras.Model and endless and stop > 4:
        return  # The position of such data must be given.
    resumed = program(tmp_path / "cut")
    assert get_step(resumed) == 12
    np.testing.assert_array_equal(
        plain.get_weights()[0], resumed.get_weights()[0]
    )
    # The running means of the epoch that was cut go on, too.
    assert resumed.history.history == plain.history.history
    assert resumed.history.epoch == [0, 1, 2]
    # Once more: it is finished.
    if base is training.GradientModel:
        assert get_step(program(tmp_path / "cut")) == 12


@pytest.mark.fault("C40")
def test_epochs_of_another_length_are_refused(tmp_path: Any) -> None:
    def program(rows: int, size: int, *more: Any) -> None:
        inputs = keras.Input((4,))
        model = training.GradientModel(
            inputs, keras.layers.Dense(3, "softmax")(inputs)
        )
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(
            X[:rows],
            Y[:rows],
            batch_size=size,
            epochs=3,
            verbose=0,
            callbacks=[
                callbacks.TrainingState(tmp_path, save_freq=1),
                *more,
            ],
        )

    fit_interrupted(lambda cut: program(20, 5, cut), 6)
    with pytest.raises(ValueError, match="an epoch had 4 steps there, and ha"):
        program(30, 5)
    with pytest.raises(ValueError, match="batches of 5 examples there, of 2 h"):
        program(8, 2)


@pytest.mark.fault("C40")
@pytest.mark.filterwarnings("ignore:Learning rate reduction is conditioned")
@pytest.mark.filterwarnings("ignore:Early stopping conditioned")
def test_stock_callbacks_with_a_state_are_resumed(tmp_path: Any) -> None:
    def program(directory: Any, *more: Any) -> tuple[Any, Any]:
        keras.utils.set_random_seed(4)
        inputs = keras.Input((4,))
        model = training.GradientModel(
            inputs, keras.layers.Dense(3, "softmax")(inputs)
        )
        model.compile(
            keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy"
        )
        plateau = keras.callbacks.ReduceLROnPlateau(
            monitor="loss", patience=2, min_delta=0.5
        )
        stopping = keras.callbacks.EarlyStopping(
            monitor="loss", patience=6, min_delta=0.5
        )
        model.fit(
            X[:20],
            Y[:20],
            batch_size=10,
            epochs=20,
            shuffle=False,
            verbose=0,
            callbacks=[
                callbacks.TrainingState(directory),
                plateau,
                stopping,
                *more,
            ],
        )
        return model, stopping

    plain, stopping = program(tmp_path / "plain")
    fit_interrupted(lambda cut: program(tmp_path / "cut", cut), 7)
    resumed, again = program(tmp_path / "cut")
    assert again.stopped_epoch == stopping.stopped_epoch > 0
    np.testing.assert_array_equal(
        plain.get_weights()[0], resumed.get_weights()[0]
    )
    finished, _ = program(tmp_path / "cut")
    assert get_step(finished) == get_step(plain)


@pytest.mark.parametrize("cut", [4, 8, 14])
@pytest.mark.parametrize("per_call", [1, 2])
def test_model_checkpoint_counts_on_over_an_interruption(
    tmp_path: pathlib.Path, cut: int, per_call: int
) -> None:
    """Skipped batches give no file, and every file is that of its batch."""

    def program(name: str, *more: Any) -> dict[str, Any]:
        keras.utils.set_random_seed(4)
        inputs = keras.Input((4,))
        model = training.GradientModel(
            inputs, keras.layers.Dense(3, "softmax")(inputs)
        )
        model.compile(
            "sgd",
            "sparse_categorical_crossentropy",
            steps_per_execution=per_call,
        )
        folder = tmp_path / name
        files = keras.callbacks.ModelCheckpoint(
            folder / "{epoch}-{batch}.keras", save_freq=3, monitor="loss"
        )
        model.fit(
            X,
            Y,
            batch_size=10,
            epochs=3,
            shuffle=False,
            verbose=0,
            callbacks=[
                files,
                callbacks.TrainingState(folder / "state", save_freq=per_call),
                *more,
            ],
        )
        return {
            path.name: keras.saving.load_model(path).get_weights()[0].tolist()
            for path in folder.glob("*.keras")
        }

    whole = program("whole")
    fit_interrupted(lambda stop: program("cut", stop), cut)
    assert program("cut") == whole


def test_two_callbacks_that_restore_are_refused(tmp_path: Any) -> None:
    inputs = keras.Input((4,))
    model = training.GradientModel(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="both restore the model"):
        model.fit(
            X,
            X[:, :1],
            callbacks=[
                callbacks.TrainingState(tmp_path / "a"),
                keras.callbacks.BackupAndRestore(tmp_path / "b"),
            ],
        )


@pytest.mark.fault("C31")
def test_tensorboard_writes_to_a_directory(monkeypatch: Any) -> None:
    with pytest.raises(ValueError, match="`log_dir` must be a path on this"):
        callbacks.TensorBoard("gs://bucket/logs")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(callbacks.TensorBoard("~/logs").log_dir) == "/home/someone/logs"
