"""Variables that the loss does not depend on are named."""

from typing import Any
import warnings

import keras
import pytest
import tensorflow as tf

from keras_port.training import GradientModel
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train


class Unused(GradientModel):
    """Has a layer whose result goes nowhere."""

    def __init__(self) -> None:
        super().__init__(name="unused")
        self.dense = keras.layers.Dense(3, activation="softmax", name="dense")
        self.extra = keras.layers.Dense(2, name="extra")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        self.extra(inputs)
        return self.dense(inputs)


def compiled() -> Unused:
    model = Unused()
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss="sparse_categorical_crossentropy",
    )
    return model


def hits(y_true: tf.Tensor, y_pred: tf.Tensor) -> Any:
    """Returns a loss that has no gradient."""
    found = keras.ops.argmax(y_pred, axis=-1)
    return keras.ops.cast(found != keras.ops.cast(y_true, "int32"), "float32")


@pytest.mark.fault("B44")
def test_an_unused_layer_is_one_warning_with_its_variables() -> None:
    model = compiled()
    with pytest.warns(UserWarning, match="loss does not depend on") as seen:
        train(model, [], steps=5, epochs=2)
    assert len(seen) == 1
    train(model, [], steps=5)
    text = str(seen[0].message)
    assert "unused/extra/kernel, unused/extra/bias" in text
    assert "dense" not in text


@pytest.mark.fault("B44")
def test_the_others_are_trained_and_the_pair_says_none() -> None:
    model = compiled()
    result = model.compute_gradients(*small_arrays(8))
    assert {v.path for g, v in result.grads_and_vars if g is None} == {
        "unused/extra/kernel",
        "unused/extra/bias",
    }
    before = model.get_weights()
    with pytest.warns(UserWarning, match="do not change"):
        model.apply_gradients(result.grads_and_vars)
    after = model.get_weights()
    assert not same_weights(before[:2], after[:2])
    assert same_weights(before[2:], after[2:])


def test_accumulation_passes_over_them() -> None:
    model = Unused()
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss="sparse_categorical_crossentropy",
        gradient_accumulation_steps=2,
    )
    with pytest.warns(UserWarning, match="extra/kernel"):
        train(model, [], steps=4)
    assert int(model.optimizer.iterations) == 2


@pytest.mark.fault("B44")
def test_a_loss_through_argmax_is_an_error_in_fit() -> None:
    model = small_model(loss=hits)
    with pytest.raises(ValueError, match="such as argmax, rounding"):
        train(model, [], steps=1)
    assert int(model.optimizer.iterations) == 0


@pytest.mark.fault("B44")
def test_a_loss_through_argmax_is_an_error_by_hand() -> None:
    model = small_model(loss=hits)
    result = model.compute_gradients(*small_arrays(8))
    assert [gradient for gradient, _ in result.grads_and_vars] == [None, None]
    with pytest.raises(ValueError, match="No variable has a gradient"):
        model.apply_gradients(result.grads_and_vars)


def test_a_model_with_all_gradients_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(small_model(), [], steps=2)
