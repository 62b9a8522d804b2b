"""An evaluation in the middle of training that disturbs nothing."""

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port._support import list_untracked_variables
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.layers import Dropout
from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_perceptron
from keras_port.training import Evaluator
from keras_port.training import GradientModel
from keras_port.training import evaluator
from tests.datasets.idx_files import write
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model
from tests.small import train


def model_with_dropout() -> GradientModel:
    keras.utils.set_random_seed(8)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(16, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = Dropout(rate=0.5)(x)
    outputs = keras.layers.Dense(3, activation="softmax")(x)
    model = GradientModel(inputs, outputs)
    model.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@pytest.mark.fault("B39")
def test_training_with_dropout_is_as_without_evaluation() -> None:
    plain = model_with_dropout()
    expected = train(plain, [], steps=30, epochs=2).history
    model = model_with_dropout()
    evaluation = StepEvaluation(small_arrays(20), eval_freq=7)
    history = train(model, [evaluation], steps=30, epochs=2).history
    assert history["loss"] == expected["loss"]
    assert history["accuracy"] == expected["accuracy"]
    assert same_weights(model.get_weights(), plain.get_weights())
    assert len(history["val_accuracy"]) == 8


@pytest.mark.fault("B39")
def test_an_evaluation_changes_nothing_that_the_model_holds() -> None:
    model = model_with_dropout()
    train(model, [], steps=3)
    evaluation = Evaluator(model, small_arrays(20))
    before = [variable.numpy() for variable in model.variables]
    metrics = [variable.numpy() for variable in model.metrics_variables]
    assert any(np.any(value) for value in metrics)
    evaluation.evaluate()
    assert sorted(evaluation.metric_names()) == ["accuracy", "loss"]
    assert same_weights(before, [v.numpy() for v in model.variables])
    assert same_weights(metrics, [v.numpy() for v in model.metrics_variables])


@pytest.mark.fault("B39")
def test_names_are_known_without_building_the_function() -> None:
    model = model_with_dropout()
    sizes: list[int | None] = []
    own = model.test_step

    def test_step(data: Any) -> Any:
        sizes.append(data[0].shape[0])
        return own(data)

    model.test_step = test_step
    evaluation = Evaluator(model, small_arrays(20), batch_size=10)
    assert sorted(evaluation.metric_names()) == ["accuracy", "loss"]
    assert sizes == [1]
    evaluation.evaluate()
    # Traced once, for slices of any size.
    assert sizes == [1, 1, 10]


def test_names_of_a_model_with_a_fixed_batch_are_known_too() -> None:
    inputs = keras.Input(batch_shape=(5, 4))
    rows = keras.ops.reshape(inputs, (5, 4))  # Of no other number.
    model = GradientModel(inputs, keras.layers.Dense(3)(rows))
    model.compile("sgd", loss="mse", metrics=["mae"])
    data = (np.ones((10, 4), np.float32), np.ones((10, 3), np.float32))
    evaluation = Evaluator(model, data, batch_size=5)
    assert evaluation.metric_names() == ["loss", "mae"]


def test_metrics_are_put_back_after_an_error_too() -> None:
    model = small_model()
    train(model, [], steps=3)
    metrics = [variable.numpy() for variable in model.metrics_variables]
    wrong = tf.data.Dataset.from_tensors((tf.zeros((2, 5)), [0, 1]))
    with pytest.raises(ValueError, match="incompatible"):
        Evaluator(model, wrong).evaluate()
    assert same_weights(metrics, [v.numpy() for v in model.metrics_variables])


@pytest.mark.fault("B40")
def test_the_loss_of_a_step_is_that_of_its_batch_alone() -> None:
    class Notes(keras.callbacks.Callback):
        """Notes both losses after each step."""

        def __init__(self) -> None:
            super().__init__()
            self.own: list[float] = []
            self.logged: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.own.append(self.model.batch_loss)
            self.logged.append(logs["loss"])

    model = small_model(optimizer=keras.optimizers.SGD(0.0))
    notes = Notes()
    train(model, [notes], steps=4)
    expected = [
        model.evaluate(x, y, verbose=0)[0] for x, y in small_batches().take(4)
    ]
    assert notes.own == pytest.approx(expected, rel=1e-6)
    # What the logs hold is the mean of the batches so far.
    means = np.cumsum(expected) / np.arange(1, 5)
    assert notes.logged == pytest.approx(means, rel=1e-6)
    assert notes.own[1:] != pytest.approx(notes.logged[1:], rel=1e-3)


class LossOnly(GradientModel):
    """Computes a loss of its own, and returns nothing but it."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.dense(inputs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        result = self.compute_gradients(*data)
        self.apply_gradients(result.grads_and_vars)
        return {"loss": result.loss + 100}


def loss_only(rate: float) -> LossOnly:
    keras.utils.set_random_seed(3)
    model = LossOnly()
    model.compile(
        optimizer=keras.optimizers.SGD(rate),
        loss="sparse_categorical_crossentropy",
    )
    return model


@pytest.mark.fault("B41")
@pytest.mark.parametrize("evaluated", [False, True])
def test_the_history_holds_what_train_step_returned(evaluated: bool) -> None:
    model = loss_only(0.0)
    callbacks = [StepEvaluation(small_arrays(), eval_freq=2)] * evaluated
    history = train(model, callbacks, steps=5, epochs=2).history
    batches = list(small_batches().take(10))
    # Keras' own: of the epoch's last batch.
    expected = [
        model.evaluate(*batches[index], verbose=0) + 100 for index in (4, 9)
    ]
    assert history["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.fault("B41")
def test_a_stock_monitor_on_it_works() -> None:
    class Worse(LossOnly):
        def train_step(self, data: Any) -> dict[str, tf.Tensor]:
            super().train_step(data)
            self.steps.assign_add(1.0)
            return {"loss": tf.identity(self.steps)}

    model = Worse()
    model.steps = tf.Variable(0.0, trainable=False)
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    stopping = keras.callbacks.EarlyStopping(monitor="loss", patience=2)
    history = train(model, [stopping], steps=2, epochs=10).history
    assert history["loss"] == [2.0, 4.0, 6.0]


@pytest.mark.fault("B41")
def test_our_monitor_on_it_works() -> None:
    model = loss_only(0.0)
    callbacks = [
        StepEvaluation(small_arrays(), eval_freq=2),
        StepEarlyStopping(monitor="val_loss", patience=3),
    ]
    history = train(model, callbacks, steps=100).history
    expected = model.evaluate(*small_arrays(), verbose=0)
    # The first is the best, and three are not better.
    assert history["val_loss"] == pytest.approx([expected] * 4, rel=1e-6)
    assert history["val_step"] == [2, 4, 6, 8]


def test_an_image_split_is_its_arrays(small_mnist: datasets.Splits) -> None:
    split = small_mnist.test
    x = split.images.reshape(-1, 28, 28, 1) / np.float32(255)
    model = build_perceptron(input_shape=(28, 28, 1))
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(x, split.labels, verbose=0)
    expected = model.evaluate(x, split.labels, verbose=0, return_dict=True)
    labels = split.labels.astype("int32")
    dataset = tf.data.Dataset.from_tensor_slices((x, labels)).batch(64)
    for data in (split, (x, labels), dataset):
        results = Evaluator(model, data).evaluate()
        assert results == pytest.approx(expected, rel=1e-5)
    # Slices of 7 leave a smaller one.
    slices = Evaluator(model, split, batch_size=7)
    assert slices.evaluate() == pytest.approx(expected, rel=1e-5)
    assert slices.evaluate() == slices.evaluate()


@pytest.fixture
def mapped_images(
    tmp_path: pathlib.Path, small_mnist: datasets.Splits
) -> np.ndarray:
    """Returns the test images of small MNIST in a mapped file."""
    path = write(tmp_path / "images", small_mnist.test.images)
    return datasets.read_idx(path, mmap=True)


def same_model() -> keras.Model:
    keras.utils.set_random_seed(4)
    model = build_perceptron(input_shape=(28, 28, 1))
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


@pytest.mark.parametrize("size", [7, 64, 1000])
def test_a_mapped_split_gives_the_same_results_to_the_bit(
    small_mnist: datasets.Splits, mapped_images: np.ndarray, size: int
) -> None:
    split = small_mnist.test
    mapped = datasets.ImageSplit(mapped_images, split.labels)
    model = same_model()
    expected = Evaluator(model, split, batch_size=size).evaluate()
    evaluation = Evaluator(model, mapped, batch_size=size)
    assert evaluation.evaluate() == expected
    assert evaluation.evaluate() == expected
    assert sorted(evaluation.metric_names()) == ["accuracy", "loss"]


def test_mapped_arrays_give_the_same_results_to_the_bit(
    small_mnist: datasets.Splits, mapped_images: np.ndarray
) -> None:
    model = same_model()
    x, y = mapped_images[..., None], small_mnist.test.labels.astype("int32")
    weights = np.arange(len(y)).astype("float32")
    for rest in ((y,), (y, weights)):
        held = Evaluator(model, (x.copy(), *rest), batch_size=7)
        assert (
            Evaluator(model, (x, *rest), batch_size=7).evaluate()
            == held.evaluate()
        )


@pytest.mark.parametrize("step", [1, 2], ids=["whole", "cropped"])
def test_a_mapped_file_is_read_slice_by_slice(
    small_mnist: datasets.Splits,
    mapped_images: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    # Every second pixel: another shape of these images is a copy.
    images = mapped_images[:100, ::step, ::step]
    mapped = datasets.ImageSplit(images, small_mnist.test.labels[:100])
    model = keras.Sequential(
        [keras.Input(((28 // step) ** 2,)), keras.layers.Dense(10, "softmax")]
    )
    model.compile(loss="sparse_categorical_crossentropy")
    taken: list[int] = []
    arrays_of = evaluator.get_split_arrays

    def noting(split: datasets.ImageSplit, model: keras.Model) -> Any:
        taken.append(len(split))
        return arrays_of(split, model)

    monkeypatch.setattr(evaluator, "get_split_arrays", noting)
    evaluation = Evaluator(model, mapped, batch_size=30)
    assert taken == [1]
    results = evaluation.evaluate()
    assert taken == [1, 30, 30, 30, 10]
    held = datasets.ImageSplit(images.copy(), mapped.labels)
    assert Evaluator(model, held, batch_size=30).evaluate() == results


def test_workers_share_the_slices_of_a_mapped_file(
    small_mnist: datasets.Splits, mapped_images: np.ndarray
) -> None:
    split = small_mnist.test
    mapped = datasets.ImageSplit(mapped_images, split.labels)
    model = same_model()
    for index in range(3):
        parts = [
            evaluator.make_batches(data, model, 30, 3)[index::3]
            for data in (split, mapped)
        ]
        assert len(parts[0]) == len(parts[1])
        for expected, found in zip(*parts, strict=True):
            for array, same in zip(expected, found, strict=True):
                np.testing.assert_array_equal(array, same, strict=True)


def test_a_summed_loss_is_given_per_example_whatever_the_slices() -> None:
    model = small_model(loss=CourseCrossEntropy("sum"))
    x, y = small_arrays(20)
    losses = -np.log(np.array(model(x))[np.arange(20), y])
    for size in (3, 20, 500):
        results = Evaluator(model, (x, y), batch_size=size).evaluate()
        assert results["loss"] == pytest.approx(losses.mean(), rel=1e-5)


def test_sample_weights_count() -> None:
    model = small_model()
    x, y = small_arrays(4)
    weights = np.array([1, 0, 2, 0], "float32")
    losses = -np.log(np.array(model(x))[np.arange(4), y])
    results = Evaluator(model, (x, y, weights)).evaluate()
    assert results["loss"] == pytest.approx((losses * weights).mean(), rel=1e-5)


def test_it_follows_the_weights() -> None:
    model = small_model()
    evaluation = Evaluator(model, small_arrays())
    before = evaluation.evaluate()
    train(model, [], steps=30)
    after = evaluation.evaluate()
    assert after["loss"] < before["loss"]
    expected = model.evaluate(*small_arrays(), verbose=0, return_dict=True)
    assert after == pytest.approx(expected, rel=1e-6)


def test_a_stock_model_is_evaluated_too() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    expected = model.evaluate(*small_arrays(), verbose=0, return_dict=True)
    results = Evaluator(model, small_arrays()).evaluate()
    assert results == pytest.approx(expected, rel=1e-6)


def empty_dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(small_arrays(8)).batch(8).take(0)


def mislabelled() -> tuple[np.ndarray, np.ndarray]:
    x, y = small_arrays(8)
    return x, np.where(np.arange(8) == 5, 7, y)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (small_arrays(8)[0], "`data` must be an ImageSplit, arrays"),
        ((small_arrays(8)[0],), "Received: tuple"),
        (small_arrays(0), r"of 1 or more\. Received: lengths \[0\]"),
        (
            (small_arrays(8)[0], small_arrays(9)[1]),
            r"must have one length.*\[8, 9\]",
        ),
        (small_batches(), r"-1 is endless.*take\(n\)"),
        (empty_dataset(), "cardinality 0"),
        (mislabelled(), "label 7 at position 5"),
        (
            datasets.ImageSplit(
                np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.uint8)
            ),
            r"The images have 9 pixels, shape \(3, 3\), but .* shape \(4,\)",
        ),
    ],
    ids=[
        "no tuple",
        "no labels",
        "empty",
        "lengths",
        "endless",
        "no batch",
        "label",
        "pixels",
    ],
)
def test_data_that_cannot_be_evaluated_is_refused(data: Any, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        Evaluator(small_model(), data)


def test_a_mapped_split_that_cannot_be_evaluated_is_refused(
    small_mnist: datasets.Splits, mapped_images: np.ndarray
) -> None:
    labels = small_mnist.test.labels
    mapped = datasets.ImageSplit(mapped_images, labels)
    with pytest.raises(ValueError, match="The images have 784 pixels"):
        Evaluator(small_model(), mapped)
    wrong = np.where(np.arange(len(labels)) == 199, 11, labels)
    mapped = datasets.ImageSplit(
        mapped_images, wrong.astype("uint8"), num_classes=12
    )
    with pytest.raises(ValueError, match="label 11 at position 199"):
        Evaluator(same_model(), mapped)


def test_an_uncompiled_model_and_no_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.compile\(optimizer="):
        Evaluator(build_perceptron(), small_arrays())
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        Evaluator(small_model(), small_arrays(), batch_size=0)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
def test_the_state_of_a_stateful_layer_stays(layer: str) -> None:
    x = np.random.default_rng(1).normal(size=(40, 3, 2)).astype("float32")
    y = x[:, 0, :1]

    def fit(*more: keras.callbacks.Callback) -> keras.Model:
        keras.utils.set_random_seed(1)
        inputs = keras.Input(batch_shape=(10, 3, 2))
        rnn = getattr(keras.layers, layer)(4, stateful=True)
        model = GradientModel(inputs, keras.layers.Dense(1)(rnn(inputs)))
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=10, shuffle=False, callbacks=more, verbose=0)
        return model

    model = fit(StepEvaluation((x, y), eval_freq=2, batch_size=10))
    assert same_weights(model.get_weights(), fit().get_weights())
    evaluation = Evaluator(model, (x, y), batch_size=10)
    assert evaluation.evaluate() == evaluation.evaluate()


class Noise(keras.layers.Layer):
    """Draws in inference, too, from what is no variable of the model."""

    def __init__(self, *, own: bool) -> None:
        super().__init__()
        self.generators = {"own": tf.random.Generator.from_seed(1)}
        self.own = own

    def call(self, inputs: Any) -> Any:
        shape = keras.ops.shape(inputs)
        if self.own:
            return inputs + self.generators["own"].normal(shape)
        return inputs + keras.random.normal(shape)


@pytest.mark.parametrize("own", [True, False])
def test_random_states_stay_that_are_no_variables(own: bool) -> None:
    def fit(*more: keras.callbacks.Callback) -> keras.Model:
        keras.utils.clear_session()  # In Keras 3.12 a seed does not.
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        outputs = keras.layers.Dense(3, "softmax")(Noise(own=own)(inputs))
        model = GradientModel(inputs, outputs)
        model.compile("sgd", "sparse_categorical_crossentropy")
        train(model, more, steps=6)
        return model

    model = fit(StepEvaluation(small_arrays(9), eval_freq=2))
    assert same_weights(model.get_weights(), fit().get_weights())


@pytest.mark.parametrize("base", [keras.Model, GradientModel])
def test_the_loss_of_an_output_counts_every_example_once(base: Any) -> None:
    x = np.zeros((30, 4), "float32")
    y = np.zeros((30, 1), "float32")
    y[25:] = 10
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in "pq"]
    model = base(inputs, outputs)
    model.compile("sgd", ["mse", "mse"])
    data = tf.data.Dataset.from_tensor_slices((x, (y, y)))
    for size in (4, 25, 30):
        for given in ((x, [y, y]), data.batch(size)):
            evaluation = Evaluator(model, given, batch_size=size)
            for _ in range(2):
                results = evaluation.evaluate()
                assert results["p_loss"] == pytest.approx((y**2).mean())


def test_batches_of_many_shapes_share_one_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = small_arrays(45)
    sizes = [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(sizes) - 1

        def __getitem__(self, index: int) -> Any:
            part = slice(sizes[index], sizes[index + 1])
            return x[part], y[part]

    model = small_model()
    traced = []
    own = model.test_step

    def test_step(data: Any) -> Any:
        traced.append(data[0].shape[0])
        return own(data)

    monkeypatch.setattr(model, "test_step", test_step)
    evaluation = Evaluator(model, Batches())
    found = [evaluation.evaluate() for _ in range(2)]
    expected = Evaluator(small_model(), (x, y)).evaluate()
    assert found == [pytest.approx(expected)] * 2
    assert traced[-1] is None
    # Once eagerly, for the metrics, and once more before the open shape.
    assert len(traced) <= evaluator.MAX_SHAPES + 3


def build_masked() -> GradientModel:
    inputs = keras.Input((6,))
    x = keras.layers.Embedding(5, 3, mask_zero=True)(inputs)
    x = keras.layers.LSTM(3, return_sequences=True)(x)
    return GradientModel(inputs, {"o": keras.layers.Dense(1)(x)})


def build_dense() -> GradientModel:
    inputs = keras.Input((4,))
    return GradientModel(inputs, keras.layers.Dense(3, "softmax")(inputs))


MEAN = "mean_with_sample_weight"
SPARSE = keras.losses.SparseCategoricalCrossentropy
TOKENS = np.random.default_rng(1).integers(1, 5, (42, 6))
TOKENS[21:, 1:] = 0
SERIES = np.random.default_rng(2).normal(size=(42, 6, 1)).astype("float32")
SERIES[21:] += 3
NUMBERS = np.random.default_rng(3).normal(size=(42, 4)).astype("float32")
LABELS = np.arange(42) // 8 % 3
WEIGHTS = np.linspace(0, 1, 42, dtype="float32")
MASKED = (TOKENS, {"o": SERIES})


@pytest.mark.parametrize(
    ("build", "loss", "data"),
    [
        (build_masked, {"o": "mse"}, MASKED),
        (
            build_masked,
            {"o": keras.losses.MeanSquaredError(reduction=MEAN)},
            MASKED,
        ),
        (
            build_masked,
            {"o": keras.losses.MeanSquaredError(reduction=MEAN)},
            (*MASKED, {"o": np.outer(WEIGHTS, np.arange(6.0))}),
        ),
        (build_dense, SPARSE(ignore_class=1), (NUMBERS, LABELS)),
        (build_dense, SPARSE(ignore_class=1), (NUMBERS, LABELS[:, None])),
        (build_dense, [SPARSE(reduction=MEAN)], (NUMBERS, LABELS, WEIGHTS)),
        (
            build_dense,
            SPARSE(reduction=MEAN, ignore_class=1),
            (NUMBERS, LABELS, WEIGHTS[:, None]),
        ),
    ],
)
def test_the_loss_is_the_same_in_all_slices(
    build: Any, loss: Any, data: Any
) -> None:
    keras.utils.set_random_seed(1)
    model = build()
    model.compile("sgd", loss)
    values = [
        Evaluator(model, data, batch_size=size).evaluate()["loss"]
        for size in (42, 16, 4)
    ]
    assert values == pytest.approx([values[0]] * 3)


def test_float64_arrays_are_as_in_fit_and_evaluate() -> None:
    class Distance(keras.metrics.Mean):
        def update_state(
            self, y: Any, p: Any, sample_weight: Any = None
        ) -> Any:
            return super().update_state(tf.abs(y - p))

    x = np.random.default_rng(1).random((20, 4))
    model = small_model(loss="mse", metrics=[Distance(name="distance")])
    expected = model.evaluate(x, x[:, :3], verbose=0, return_dict=True)
    found = Evaluator(model, (x, x[:, :3])).evaluate()
    assert found == pytest.approx(expected)


def test_a_py_dataset_may_yield_inputs_alone() -> None:
    x = np.random.default_rng(1).random((40, 4)).astype("float32")

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return x[index * 10 : index * 10 + 10]

    class Autoencoder(GradientModel):
        def test_step(self, data: Any) -> Any:
            (inputs,) = data
            loss = tf.reduce_mean((self(inputs) - inputs) ** 2)
            return {"loss": loss, "numbers": tf.size(inputs)}

    inputs = keras.Input((4,))
    model = Autoencoder(inputs, keras.layers.Dense(4)(inputs))
    model.compile("sgd", "mse")
    expected = model.evaluate(Batches(), verbose=0, return_dict=True)
    found = Evaluator(model, Batches()).evaluate()
    # In Keras 3.12 some are tensors.
    assert found == pytest.approx({k: float(v) for k, v in expected.items()})
    assert found["numbers"] == 40


def test_attributes_of_any_kind_are_searched_once() -> None:
    model = small_model()
    model.counters = [tf.Variable(1.0), {"a": [tf.Variable(2.0)]}]
    ring: list[Any] = [tf.Variable(3.0)]
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    # Keras wraps lists of the model, and not those of other objects.
    model.layers[-1].__dict__.update(
        ring=ring, deep=deep, words=["word"] * 10**6, ring_again=ring
    )
    values = {
        float(variable)
        for variable in list_untracked_variables(model)
        if not variable.shape.rank
    }
    assert {1.0, 2.0, 3.0} <= values
    assert Evaluator(model, small_arrays(9)).evaluate()


def test_weights_may_be_none() -> None:
    x, y = small_arrays(9)
    model = small_model()
    found = Evaluator(model, (x, y, None), batch_size=4).evaluate()
    assert found == pytest.approx(Evaluator(model, (x, y)).evaluate())
