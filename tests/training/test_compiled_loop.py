"""Tests of `fit` with `jit_compile=True`: several steps in one program."""

from collections.abc import Callable
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import callbacks
from keras_port import datasets
from keras_port import layers
from keras_port import losses
from keras_port import models
from keras_port import training
from keras_port.optimizers import Adam
from keras_port.training import compiled_loop
from keras_port.training import gradient_model

EXAMPLES, BATCH = 22, 4
INPUTS = np.random.default_rng(1).normal(size=(EXAMPLES, 3)).astype("float32")
TARGETS = INPUTS.sum(axis=1, keepdims=True)


def make_model(
    steps: int = 1,
    *,
    jit_compile: bool | str,
    dropout: float = 0,
    **kwargs: Any,
) -> Any:
    """Returns a compiled network of one output.

    Under XLA, TensorFlow draws other random numbers, and so other dropout.
    """
    keras.utils.set_random_seed(1)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu")(inputs)
    hidden = keras.layers.Dropout(dropout, seed=1)(hidden)
    model = training.GradientModel(inputs, keras.layers.Dense(1)(hidden))
    arguments = {"optimizer": Adam(0.1), "loss": "mse", "metrics": ["mae"]}
    model.compile(
        **arguments | kwargs,
        jit_compile=jit_compile,
        steps_per_execution=steps,
    )
    return model


def make_perceptron(steps: int = 3) -> Any:
    """Returns the course's perceptron, with `steps` steps per call."""
    keras.utils.set_random_seed(1)
    model = models.build_perceptron()
    compile_perceptron(model, steps_per_execution=steps)
    return model


def compile_perceptron(model: Any, **kwargs: Any) -> None:
    """Compiles a perceptron, with four steps per call and XLA by default."""
    defaults = {"jit_compile": True, "steps_per_execution": 4}
    model.compile("sgd", losses.CourseCrossEntropy(), **defaults | kwargs)


def make_batches(*, drop_remainder: bool = False) -> tf.data.Dataset:
    """Returns six batches, of which the last is smaller, or five."""
    data = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS))
    return data.batch(BATCH, drop_remainder=drop_remainder)


# Five batches of one shape, with a smaller sixth, as arrays, and endless ones
# of one shape and of several.
FITS: dict[str, Callable[[Any], Any]] = {
    "one shape": lambda model: model.fit(
        make_batches(drop_remainder=True), epochs=2, verbose=0
    ),
    "smaller last": lambda model: model.fit(
        make_batches(), epochs=2, verbose=0
    ),
    "arrays": lambda model: model.fit(
        INPUTS, TARGETS, batch_size=BATCH, shuffle=False, epochs=2, verbose=0
    ),
    "endless": lambda model: model.fit(
        make_batches(drop_remainder=True).repeat(),
        steps_per_epoch=12,
        verbose=0,
    ),
    "endless, several shapes": lambda model: model.fit(
        make_batches().repeat(), steps_per_epoch=12, verbose=0
    ),
    "weighted": lambda model: model.fit(
        INPUTS,
        TARGETS,
        sample_weight=np.linspace(0, 1, EXAMPLES),
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
    ),
}


def train(
    kind: str, steps: int, *, jit_compile: bool, **kwargs: Any
) -> tuple[Any, dict[str, list[float]]]:
    """Returns a trained model and its history."""
    model = make_model(steps, jit_compile=jit_compile, **kwargs)
    return model, FITS[kind](model).history


def assert_same_bits(model: Any, other: Any) -> None:
    """Compares all variables."""
    for one, expected in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), expected.numpy())


@pytest.mark.parametrize("kind", list(FITS))
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_trains_as_without_a_compiler(kind: str, steps: int) -> None:
    """The same steps on the same batches, but for rounding."""
    model, history = train(kind, steps, jit_compile=True)
    other, expected = train(kind, steps, jit_compile=False)
    assert model.batches_seen == other.batches_seen
    assert int(model.optimizer.iterations) == int(other.optimizer.iterations)
    assert history.keys() == expected.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-4)
    for one, weights in zip(
        model.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "kind", ["endless", pytest.param("smaller last", marks=pytest.mark.slow)]
)
def test_the_steps_per_call_change_no_bit(kind: str) -> None:
    """So a resumed training may have other ones."""
    model, history = train(kind, 1, jit_compile=True, dropout=0.5)
    for steps in (3, 4):
        other, expected = train(kind, steps, jit_compile=True, dropout=0.5)
        assert_same_bits(model, other)
        assert history == expected


def test_every_step_is_recorded() -> None:
    """With its own loss and gradient norm, also inside of a call."""
    logs = []
    for jit_compile in (True, False):
        model = make_model(4, jit_compile=jit_compile)
        model.step_log.norm_freq.assign(1)
        FITS["endless"](model)
        logs.append(model.step_log.read(0, 100))
    found, expected = logs
    np.testing.assert_array_equal(found.step, np.arange(1, 13))
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-4)
    np.testing.assert_allclose(
        found.gradient_norm, expected.gradient_norm, rtol=1e-4
    )


def test_the_step_is_traced_once_and_compiled_twice() -> None:
    """For stacks of four and for the smaller batch alone."""
    traces = []

    class Counting(training.GradientModel):
        def call(self, x: Any) -> Any:
            traces.append(x.shape)
            return super().call(x)

    inputs = keras.Input((3,))
    model = Counting(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", jit_compile=True, steps_per_execution=4)
    traces.clear()
    model.fit(make_batches(drop_remainder=True), epochs=3, verbose=0)
    assert len(traces) == 1
    model.fit(make_batches(), epochs=3, verbose=0)
    assert len(traces) <= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        {"gradient_accumulation_steps": 3},
        {"global_clipnorm": 0.1},
        {"example_selection": training.HardExamples(2)},
        {"loss": keras.losses.MeanSquaredError(reduction="sum")},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_with_every_option_of_compile(arguments: dict[str, Any]) -> None:
    """Conditions, variables of the step and random numbers compile, too."""
    model, _ = train("endless", 4, jit_compile=True, **arguments)
    assert model.batches_seen == 12
    assert np.isfinite(model.batch_loss)


def test_a_single_batch() -> None:
    """`train_on_batch` runs the compiled step, too, to the same bits."""
    model, other = (make_model(jit_compile=True) for _ in range(2))
    for begin in range(0, 20, BATCH):
        batch = slice(begin, begin + BATCH)
        model.train_on_batch(INPUTS[batch], TARGETS[batch])
    other.fit(make_batches(drop_remainder=True), verbose=0)
    assert model.batches_seen == other.batches_seen == 5
    assert_same_bits(model, other)


@pytest.mark.parametrize(
    ("value", "endless"), [(2.0, True), (-1.0, False), (np.nan, False)]
)
def test_pixels_are_checked_before_the_program(
    value: float, endless: bool
) -> None:
    """XLA drops the check of the layer. Before the call, nothing is lost."""
    model = make_perceptron()
    images = np.zeros((18, 784), "float32")
    images[2 * 5] = value  # The first of the batch of step 6.
    data = tf.data.Dataset.from_tensor_slices((images, np.zeros(18, "int32")))
    data = data.batch(2, drop_remainder=True)
    if endless:
        data = data.repeat()
    with pytest.raises(ValueError, match="Pixels must be from 0 to 1"):
        model.fit(data, steps_per_epoch=9, verbose=0)
    assert int(model.optimizer.iterations) == 3


def test_images_as_bytes_are_scaled_in_the_step() -> None:
    """To the same weights, to the bit, as scaled images."""
    train_split = datasets.load_mnist().train
    trained = []
    for scale in (True, False):
        model = models.build_perceptron()
        model.compile(
            keras.optimizers.SGD(0.01),
            losses.CourseCrossEntropy(),
            jit_compile=True,
            steps_per_execution=10,
        )
        batches = datasets.shuffled_batches(
            train_split, 100, seed=1, scale=scale
        )
        model.fit(batches, steps_per_epoch=50, verbose=0)
        trained.append(model)
    np.testing.assert_allclose(
        *(model.get_weights()[0] for model in trained), rtol=1e-5, atol=1e-7
    )


def test_a_resumed_training_has_the_same_bits(tmp_path: pathlib.Path) -> None:
    """Also with other steps per call."""

    def fit(name: str, total: int, steps: int) -> Any:
        model = make_model(steps, jit_compile=True, dropout=0.5)
        state = callbacks.TrainingState(tmp_path / name)
        model.fit(
            make_batches(drop_remainder=True).repeat(),
            steps_per_epoch=total,
            callbacks=[state],
            verbose=0,
        )
        return model

    whole = fit("whole", 24, 4)
    fit("parts", 12, 4)
    assert_same_bits(whole, fit("parts", 24, 3))


def test_callbacks_see_every_call() -> None:
    """Evaluations happen at their steps."""
    model = make_model(2, jit_compile=True)
    validation = (INPUTS, TARGETS)
    history = model.fit(
        make_batches(drop_remainder=True).repeat(),
        steps_per_epoch=8,
        callbacks=[callbacks.StepEvaluation(validation, eval_freq=4)],
        verbose=0,
    ).history
    assert history["val_step"] == [4, 8]


def test_without_a_batch() -> None:
    """An empty dataset ends as in Keras' loop."""
    model = make_model(2, jit_compile=True)
    with pytest.raises(Exception, match=r"(?i)batch|logs|data|empty"):
        model.fit(make_batches().take(0), verbose=0)
    assert model.batches_seen == 0


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_that_claims_to_be_endless() -> None:
    """Every batch is trained, though a call ends in the middle."""
    batches = iter(make_batches(drop_remainder=True))
    data = tf.data.Dataset.from_generator(
        lambda: batches,
        output_signature=make_batches(drop_remainder=True).element_spec,
    ).repeat()
    assert data.cardinality() == tf.data.INFINITE_CARDINALITY
    model = make_model(3, jit_compile=True)
    model.fit(data, steps_per_epoch=9, verbose=0)
    assert model.batches_seen == 5


def test_a_number_among_the_inputs() -> None:
    """It has no examples to check."""

    class Scaled(training.GradientModel):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x["x"]) * x["factor"]

    model = Scaled()
    model.compile("sgd", "mse", jit_compile=True, steps_per_execution=2)
    model.fit(
        make_batches().map(lambda x, y: ({"x": x, "factor": 2.0}, y)),
        verbose=0,
    )
    assert model.batches_seen == 6


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_an_empty_batch_passes_the_check() -> None:
    model = make_perceptron()
    sizes = iter([4, 0, 4])
    data = tf.data.Dataset.from_generator(
        lambda: (
            (np.zeros((size, 784), "float32"), np.zeros(size, "int32"))
            for size in sizes
        ),
        output_signature=(
            tf.TensorSpec((None, 784), tf.float32),
            tf.TensorSpec((None,), tf.int32),
        ),
    )
    model.fit(data, verbose=0)
    assert model.batches_seen == 3


def test_only_a_check_of_the_inputs_is_made_before_the_program() -> None:
    """A check after another layer sees other values."""
    inputs = keras.Input((784,))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    outputs = keras.layers.Dense(10, activation="softmax")(
        layers.PixelRangeCheck()(scaled)
    )
    model = models.ImageModel(inputs, outputs)
    model.compile("sgd", losses.CourseCrossEntropy(), jit_compile=True)
    model.fit(np.full((8, 784), 200.0), np.zeros(8, int), verbose=0)
    assert model.batches_seen == 1


def test_sparse_batches_are_refused() -> None:
    model = make_model(2, jit_compile=True)
    data = make_batches().map(lambda x, y: (tf.sparse.from_dense(x), y))
    with pytest.raises(ValueError, match=r"dense tensors.*SparseTensorSpec"):
        model.fit(data, verbose=0)


def test_keras_loop_unless_xla_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a GPU, Keras compiles every model that XLA supports."""
    monkeypatch.setattr(compiled_loop, "stack_batches", None)
    model = make_model(2, jit_compile="auto")
    model.jit_compile = True
    model.fit(make_batches(), verbose=0)
    assert model.batches_seen == 6
    loaded = keras.models.clone_model(model)
    loaded.compile_from_config(
        make_model(jit_compile=True).get_compile_config()
    )
    with pytest.raises(TypeError, match="NoneType"):
        loaded.fit(make_batches(), verbose=0)


@pytest.mark.parametrize("max_shift", [0, 2])
@pytest.mark.parametrize("one_hot", [False, True])
def test_shuffled_batches_are_read_as_stacks_of_the_same_batches(
    max_shift: int, one_hot: bool
) -> None:
    split = datasets.load_mnist().validation
    batches = datasets.shuffled_batches(
        split, 1500, seed=1, start_batch=2, max_shift=max_shift, one_hot=one_hot
    )
    own = datasets.get_own_batches(batches)
    assert own is not None
    assert own.make_stacks is not None
    # Batches 3 to 8, of 5,000 images: they span epochs.
    stacks = list(own.make_stacks(1, 3).take(2))
    expected = list(batches.skip(1).take(6))
    for part in (0, 1):
        np.testing.assert_array_equal(
            np.concatenate([stack[part] for stack in stacks]),
            np.stack([batch[part] for batch in expected]),
        )


def make_shuffled(*, as_stacks: bool) -> tf.data.Dataset:
    """Returns batches that are read as stacks, or the same one by one."""
    split = datasets.load_mnist().validation
    batches = datasets.shuffled_batches(split, 100, seed=1)
    return batches if as_stacks else batches.map(lambda *batch: batch)


class Between(keras.callbacks.Callback):
    """Changes the model after the first epoch."""

    def __init__(self, change: Callable[[Any], object]) -> None:
        super().__init__()
        self.change = change

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Changes the model."""
        if epoch == 0:
            self.change(self.model)


def compile_anew(model: Any, **kwargs: Any) -> None:
    """Compiles as programs do that unfreeze a layer between epochs."""
    compile_perceptron(model, **kwargs)
    model.make_train_function()


def fit_zeros(model: Any, **kwargs: Any) -> None:
    """Trains on eight black images."""
    model.fit(np.zeros((8, 784)), np.zeros(8, int), verbose=0, **kwargs)


def fit_without_xla(model: Any) -> None:
    """Trains in a loop without XLA, and leaves it."""
    compile_anew(model, jit_compile=False)
    fit_zeros(model)


def fit_eagerly(model: Any) -> None:
    """Trains in an eager loop, and leaves it, but not `run_eagerly`."""

    class LeaveLoop(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            model.run_eagerly = True
            model.make_train_function(force=True)
            model.run_eagerly = False

    fit_zeros(model, callbacks=[LeaveLoop()])


CHANGES: dict[str, Callable[[Any], object]] = {
    "function made anew": lambda model: model.make_train_function(force=True),
    "compiled anew": compile_anew,
    "fewer steps per call": lambda m: compile_anew(m, steps_per_execution=2),
    "another attribute": lambda m: setattr(m, "steps_per_execution", 2),
    "without XLA": lambda model: compile_anew(model, jit_compile=False),
    "fit inside": fit_zeros,
    "fit inside that leaves an eager loop": fit_eagerly,
    "fit inside, without XLA": fit_without_xla,
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_the_batches_go_on_when_a_callback_changes_the_model(
    change: str,
) -> None:
    fitted = []
    for as_stacks in (True, False):
        model = make_perceptron(steps=4)
        model.fit(
            make_shuffled(as_stacks=as_stacks),
            steps_per_epoch=8,
            epochs=3,
            callbacks=[Between(CHANGES[change])],
            verbose=0,
        )
        fitted.append(model)
    model, other = fitted
    assert model.batches_seen == other.batches_seen
    assert_same_bits(model, other)


class Wrapping(keras.callbacks.Callback):
    """Runs the training function in one of its own."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Replaces the function."""
        function = self.model.train_function
        self.model.train_function = lambda iterator: function(iterator)


@pytest.mark.parametrize("other", ["nothing", "wrapper", "TensorBoard"])
def test_batches_that_are_dropped_are_not_trained_on(
    other: str, tmp_path: pathlib.Path
) -> None:
    """By a resumed training whose data starts at the beginning."""

    def fit(name: str, total: int, steps: int) -> Any:
        model = make_perceptron(steps)
        others = {
            "nothing": [],
            "wrapper": [Wrapping()],
            "TensorBoard": [callbacks.TensorBoard(tmp_path / name / "logs")],
        }
        model.fit(
            make_shuffled(as_stacks=True),
            steps_per_epoch=total,
            callbacks=[
                *others[other],
                callbacks.TrainingState(tmp_path / name),
            ],
            verbose=0,
        )
        return model

    whole = fit("whole", 12, 4)
    fit("parts", 6, 3)
    assert_same_bits(whole, fit("parts", 12, 2))


def test_the_stacks_of_a_fit_are_read_by_one_iterator(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes as long as hundreds of steps."""
    made = []

    class Counting(compiled_loop.StackReader):
        def __init__(self, make_stacks: Any) -> None:
            def make(skipped: int, rows: int) -> tf.data.Dataset:
                made.append(skipped)
                return make_stacks(skipped, rows)

            super().__init__(make)

    monkeypatch.setattr(gradient_model, "StackReader", Counting)
    make_perceptron(steps=4).fit(
        make_shuffled(as_stacks=True),
        steps_per_epoch=8,
        epochs=2,
        callbacks=[callbacks.TrainingState(tmp_path)],
        verbose=0,
    )
    assert made == [0]


def test_class_weights_reach_shuffled_batches() -> None:
    """Keras gives them to the single batches."""
    model = make_perceptron(steps=4)
    model.fit(
        make_shuffled(as_stacks=True),
        steps_per_epoch=4,
        class_weight=dict.fromkeys(range(10), 0.0),
        verbose=0,
    )
    np.testing.assert_array_equal(model.get_weights()[0], 0)
