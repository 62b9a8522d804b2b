"""The course's cross entropies: right, finite, and not by mistake."""

from collections.abc import Callable
from pathlib import Path
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.training import GradientModel

CLASSES = 4
# float32 losses of about 1 to 10, a few roundings of 6e-8 each.
FLOAT32 = 1e-6


def examples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels, logits and probabilities of six examples."""
    generator = np.random.default_rng(7)
    logits = generator.normal(scale=3, size=(6, CLASSES)).astype("float32")
    labels = np.array([0, 3, 1, 2, 2, 0])
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return labels, logits, exponentials / exponentials.sum(1, keepdims=True)


def as_formula(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns `-sum(y_ * log(y))` of each example, in float64."""
    one_hot = np.eye(CLASSES)[labels]
    return -np.sum(one_hot * np.log(probabilities.astype("float64")), axis=1)


def two_logits(**options: Any) -> GradientModel:
    """Returns a compiled model of softmax(x W + b), W the identity."""
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(
        2, activation="softmax", kernel_initializer="identity"
    )(inputs)
    model = GradientModel(inputs, outputs)
    model.compile(optimizer="sgd", **options)
    return model


def plain(labels: np.ndarray) -> np.ndarray:
    return labels


def column(labels: np.ndarray) -> np.ndarray:
    return labels[:, None]


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype="float32")[labels]


def bytes_of(labels: np.ndarray) -> np.ndarray:
    return labels.astype("uint8")


@pytest.mark.parametrize("form", [plain, column, one_hot, bytes_of])
@pytest.mark.parametrize("from_logits", [False, True])
def test_both_reductions_for_each_form_of_labels(
    form: Callable[[np.ndarray], np.ndarray], from_logits: bool
) -> None:
    labels, logits, probabilities = examples()
    each = as_formula(labels, probabilities)
    y_pred = logits if from_logits else probabilities
    for reduction, expected in (
        ("sum", each.sum()),
        ("mean_over_elements", each.mean() / CLASSES),
    ):
        loss = CourseCrossEntropy(reduction, from_logits=from_logits)
        assert float(loss(form(labels), y_pred)) == pytest.approx(
            expected, rel=FLOAT32
        )
        in_graph = tf.function(loss)(
            tf.constant(form(labels)), tf.constant(y_pred)
        )
        assert float(in_graph) == pytest.approx(expected, rel=FLOAT32)


def test_rows_may_be_any_distribution() -> None:
    _, logits, probabilities = examples()
    target = np.roll(probabilities, 1, axis=0)
    expected = -np.sum(target * np.log(probabilities.astype("float64")))
    for from_logits, y_pred in ((False, probabilities), (True, logits)):
        loss = CourseCrossEntropy("sum", from_logits=from_logits)
        assert float(loss(target, y_pred)) == pytest.approx(
            expected, rel=FLOAT32
        )


@pytest.mark.parametrize("form", [plain, column, one_hot])
def test_sample_weights_multiply_each_example(
    form: Callable[[np.ndarray], np.ndarray],
) -> None:
    labels, _, probabilities = examples()
    weights = np.array([0, 1, 2, 0.5, 0, 3], "float32")
    weighted = as_formula(labels, probabilities) * weights
    for reduction, expected in (
        ("sum", weighted.sum()),
        # The number of examples divides, not the sum of their weights.
        ("mean_over_elements", weighted.mean() / CLASSES),
    ):
        loss = CourseCrossEntropy(reduction)
        value = loss(form(labels), probabilities, sample_weight=weights)
        assert float(value) == pytest.approx(expected, rel=FLOAT32)


@pytest.mark.parametrize("from_logits", [False, True])
@pytest.mark.parametrize("weights", [None, [1.0, 2, 0, 1, 1, 3]])
def test_keras_own_cross_entropy_agrees(
    from_logits: bool, weights: list[float] | None
) -> None:
    labels, logits, probabilities = examples()
    y_pred = tf.Variable(logits if from_logits else probabilities)
    values, gradients = [], []
    for loss in (
        CourseCrossEntropy("sum", from_logits=from_logits),
        keras.losses.SparseCategoricalCrossentropy(
            from_logits=from_logits, reduction="sum"
        ),
    ):
        with tf.GradientTape() as tape:
            if from_logits:
                outputs = y_pred
            else:
                outputs = keras.activations.softmax(tf.math.log(y_pred))
            value = loss(labels, outputs, sample_weight=weights)
        values.append(float(value))
        gradients.append(tape.gradient(value, y_pred).numpy())
    assert values[0] == pytest.approx(values[1], rel=FLOAT32)
    # Relative to gradients of up to 1 / probability.
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-5)


@pytest.mark.fault("B62")
@pytest.mark.parametrize("run_eagerly", [True, False])
@pytest.mark.parametrize("one_hot_labels", [True, False])
@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_saturated_softmax_gives_loss_0_or_400(
    run_eagerly: bool, one_hot_labels: bool, floatx: str
) -> None:
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    model = two_logits(loss=CourseCrossEntropy("sum"))
    x = np.array([[200, -200]], floatx)
    # exp(-400) is no float32, so the probability is 0 and its log is -inf.
    if floatx == "float32":
        assert model.predict(x, verbose=0).tolist() == [[1, 0]]

    def compute(y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        result = model.compute_gradients(x, y)
        return result.loss, [gradient for gradient, _ in result.grads_and_vars]

    for label, loss, slope in ((0, 0.0, 0), (1, 400.0, 1)):
        y = np.eye(2, dtype=floatx)[[label]] if one_hot_labels else [label]
        step = compute if run_eagerly else tf.function(compute)
        value, (kernel, bias) = step(tf.constant(y))
        assert float(value) == loss
        # The softmax minus the label is (1, -1) or (0, 0), times x; in float64
        # exp(-400) = 2e-174 is left of the zeros.
        expected = slope * np.array([1, -1])
        np.testing.assert_allclose(bias, expected, atol=1e-170)
        np.testing.assert_allclose(
            kernel, [200 * expected, -200 * expected], atol=1e-170
        )


@pytest.mark.fault("B62")
def test_the_formula_of_the_course_is_nan_there() -> None:
    with tf.GradientTape() as tape:
        logits = tf.constant([[200.0, -200.0]])
        tape.watch(logits)
        y = tf.nn.softmax(logits)
        loss = -tf.reduce_sum(tf.constant([[1.0, 0.0]]) * tf.math.log(y))
    assert np.isnan(loss)
    assert np.isnan(tape.gradient(loss, logits)).any()


@pytest.mark.fault("B62")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_the_perceptron_trains_on_from_a_saturated_output(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    model = build_perceptron(num_classes=2)
    model.compile(
        optimizer=keras.optimizers.SGD(0.5), loss=CourseCrossEntropy("sum")
    )
    model.get_layer("fc").bias.assign([200, -200])
    x = np.zeros((1, 784), "float32")
    assert model.evaluate(x, np.array([0]), verbose=0) == 0
    assert model.evaluate(x, np.array([1]), verbose=0) == 400
    model.train_on_batch(x, np.array([1]))
    assert model.batch_loss == 400
    np.testing.assert_array_equal(
        model.get_layer("fc").bias, np.array([199.5, -199.5])
    )


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_probability_of_0_in_a_plain_tensor_stays_finite(
    label: int, dtype: str
) -> None:
    keras.config.set_floatx(dtype)
    probabilities = tf.Variable([[1.0, 0.0]], dtype=dtype)
    for y in ([label], np.eye(2)[[label]]):
        with tf.GradientTape() as tape:
            loss = CourseCrossEntropy("sum")(np.asarray(y), probabilities)
        assert np.isfinite(float(loss))
        assert (float(loss) > 9) == (label == 1)
        gradient = tape.gradient(loss, probabilities)
        assert np.isfinite(tf.cast(gradient, tf.float64)).all()


@pytest.mark.fault("B63")
def test_logits_that_are_outputs_of_a_softmax_are_refused() -> None:
    loss = CourseCrossEntropy(from_logits=True)
    outputs = keras.activations.softmax(tf.constant([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="softmax would be applied twice"):
        loss([0], outputs)
    # In `fit` too, for a model that is not one of the course's.
    model = two_logits(loss=loss)
    with pytest.raises(ValueError, match="softmax would be applied twice"):
        model.fit(np.ones((4, 2)), np.zeros(4), verbose=0)


@pytest.mark.fault("B63")
@pytest.mark.parametrize("build", [build_perceptron, build_cnn])
def test_a_loss_that_does_not_fit_the_outputs_is_refused_at_compile(
    build: Callable[..., Any],
) -> None:
    for activation, from_logits, outputs in (
        ("softmax", True, "probabilities"),
        (None, False, "logits"),
    ):
        model = build(classifier_activation=activation)
        message = (
            f"The model's outputs are {outputs}, but the loss has "
            f"from_logits={from_logits}. Use "
            f"`CourseCrossEntropy(..., from_logits={not from_logits})`."
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            model.compile(loss=CourseCrossEntropy(from_logits=from_logits))
        model.compile(loss=CourseCrossEntropy(from_logits=not from_logits))


@pytest.mark.parametrize(
    ("labels", "shown", "position"),
    [
        ([0, 4, 9], "4", 1),
        ([0, 1, -1], "-1", 2),
        ([0.5, 1, 2], "0.5", 0),
        ([1, np.nan, 2], "nan", 1),
    ],
)
def test_a_label_that_is_no_class_is_named(
    labels: list[float], shown: str, position: int
) -> None:
    message = (
        "Labels must be integers from 0 to 3, because the model has 4 outputs. "
        rf"Received: label {re.escape(shown)} at position {position}\. "
        "Fix the labels, or build the model with more classes."
    )
    probabilities = np.full((3, CLASSES), 0.25, "float32")
    for y in (labels, [[label] for label in labels]):
        with pytest.raises(ValueError, match=f"^{message}$"):
            CourseCrossEntropy()(np.asarray(y), probabilities)


@pytest.mark.parametrize("label", [4, -1, 0.5, np.nan])
def test_a_label_that_is_no_class_is_refused_in_a_dataset(
    label: float,
) -> None:
    model = two_logits(loss=CourseCrossEntropy())
    y = np.array([0, 1, label, 1])
    dataset = tf.data.Dataset.from_tensor_slices((np.ones((4, 2)), y)).batch(2)
    message = (
        "Labels must be integers from 0 to 1, because the model has 2 outputs. "
        "Received in a batch of the dataset: smallest and largest label "
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.fit(dataset, verbose=0)


@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 1), ()])
def test_labels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    message = (
        "`y_true` must be integer labels of shape (batch,) or rows of shape "
        f"(batch, 4), one for each class of `y_pred`. Received: y_true.shape="
        f"{shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CourseCrossEntropy()(np.zeros(shape), np.full((3, CLASSES), 0.25))


@pytest.mark.parametrize("shape", [(4,), (3, 4, 4)])
def test_outputs_of_another_rank_are_refused(shape: tuple[int, ...]) -> None:
    message = (
        "`y_pred` must have shape (batch, classes). Received: "
        f"y_pred.shape={shape}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CourseCrossEntropy()(np.zeros(3), np.full(shape, 0.25))


def test_an_unknown_normalization_is_refused_with_the_choices() -> None:
    message = (
        "`reduction` must be one of ('mean_over_elements', 'sum'). Received: "
        "reduction='mean'"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        CourseCrossEntropy("mean")


@pytest.mark.parametrize("reduction", ["mean_over_elements", "sum"])
@pytest.mark.parametrize("from_logits", [False, True])
def test_config_makes_the_same_loss(reduction: str, from_logits: bool) -> None:
    loss = CourseCrossEntropy(reduction, from_logits=from_logits, name="mine")
    config = keras.losses.serialize(loss)
    for again in (
        CourseCrossEntropy.from_config(loss.get_config()),
        keras.losses.deserialize(config),
    ):
        assert type(again) is CourseCrossEntropy
        assert again.get_config() == loss.get_config()
        labels, logits, probabilities = examples()
        y_pred = logits if from_logits else probabilities
        assert float(again(labels, y_pred)) == float(loss(labels, y_pred))


def test_a_saved_model_keeps_its_loss(tmp_path: Path) -> None:
    model = build_perceptron(classifier_activation=None)
    loss = CourseCrossEntropy("sum", from_logits=True)
    model.compile(optimizer="sgd", loss=loss)
    x, y = np.full((6, 784), 0.5, "float32"), examples()[0]
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is CourseCrossEntropy
    assert loaded.loss.get_config() == loss.get_config()
    result, again = (m.compute_gradients(x, y) for m in (model, loaded))
    assert float(again.loss) == float(result.loss)
    # A sum, not a mean: about 6 log 10.
    assert float(again.loss) > 5
