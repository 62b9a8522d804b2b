"""Training in two named steps, alone and inside `fit`."""

from collections.abc import Sequence
import json
from pathlib import Path
from typing import Any
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.training import GradientModel
from tests.models.new_process import load_elsewhere
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model
from tests.small import train


class OwnCall(GradientModel):
    """A subclass that is no functional model."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.dense(inputs)


class OwnInit(GradientModel):
    """A subclass that makes a functional model of itself."""

    def __init__(self, units: int) -> None:
        inputs = keras.Input((4,))
        super().__init__(inputs, keras.layers.Dense(units)(inputs))
        self.units = units


def first_batch() -> tuple[tf.Tensor, tf.Tensor]:
    return next(iter(small_batches()))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_two_steps_by_hand_are_those_of_fit(optimizer: str) -> None:
    by_hand = small_model(optimizer=optimizer)
    for x, y in small_batches().take(12):
        by_hand.apply_gradients(by_hand.compute_gradients(x, y).grads_and_vars)
    fitted = small_model(optimizer=optimizer)
    train(fitted, [], steps=12)
    assert int(by_hand.optimizer.iterations) == 12
    for left, right in zip(by_hand.weights, fitted.weights, strict=True):
        # One is compiled and fuses some operations: a rounding or two.
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)


def test_fit_is_that_of_a_stock_model() -> None:
    model = small_model(optimizer="adam")
    stock = keras.Model(model.input, model.output)
    stock.compile(
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    start = model.get_weights()
    history = train(model, [], steps=20, epochs=2).history
    weights = model.get_weights()
    model.set_weights(start)
    stock_history = stock.fit(
        small_batches(), steps_per_epoch=20, epochs=2, shuffle=False, verbose=0
    ).history
    for left, right in zip(weights, stock.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-7)
    assert history["accuracy"] == stock_history["accuracy"]
    assert history["loss"] == pytest.approx(stock_history["loss"], rel=1e-6)


def test_the_result_is_loss_outputs_and_pairs_in_the_models_order() -> None:
    model = small_model()
    before = model.get_weights()
    x, y = first_batch()
    result = model.compute_gradients(x, y)
    with tf.GradientTape() as tape:
        outputs = model(x)
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(y, outputs)
        )
    expected = tape.gradient(loss, model.trainable_variables)
    assert float(result.loss) == pytest.approx(float(loss), rel=1e-6)
    np.testing.assert_allclose(result.outputs, outputs, rtol=1e-6)
    assert [v.path for _, v in result.grads_and_vars] == [
        v.path for v in model.trainable_variables
    ]
    for (gradient, _), right in zip(
        result.grads_and_vars, expected, strict=True
    ):
        np.testing.assert_allclose(gradient, right, rtol=1e-5, atol=1e-7)
    assert same_weights(before, model.get_weights())


def test_the_loss_includes_regularisation_and_sample_weights() -> None:
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1.0))
    model = GradientModel(inputs, layer(inputs))
    model.compile(optimizer="sgd", loss="mse")
    x, y = np.zeros((2, 4), "float32"), np.array([[1.0], [3.0]], "float32")
    loss = model.compute_gradients(x, y, np.array([1.0, 0.0])).loss
    penalty = float(np.sum(np.square(layer.kernel.numpy())))
    # The outputs are the bias, 0: errors 1 and 9, of which the second counts 0.
    assert float(loss) == pytest.approx(0.5 + penalty, rel=1e-6)


def test_changed_gradients_are_the_ones_applied() -> None:
    model = small_model(optimizer=keras.optimizers.SGD(0.5))
    before = model.get_weights()
    pairs = model.compute_gradients(*first_batch()).grads_and_vars
    model.apply_gradients([(tf.ones_like(g) * 2, v) for g, v in pairs])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old - 1, rtol=1e-6)


def test_gradients_need_a_compiled_model() -> None:
    inputs = keras.Input((4,))
    model = GradientModel(inputs, keras.layers.Dense(3)(inputs))
    with pytest.raises(ValueError, match=r"model\.compile\(optimizer="):
        model.compute_gradients(*first_batch())


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"global_clipnorm": 0}, "`global_clipnorm` must be positive"),
        ({"global_clipnorm": -1.0}, "Received: global_clipnorm=-1.0"),
        ({"global_clipnorm": float("nan")}, "Received: global_clipnorm=nan"),
        ({"gradient_accumulation_steps": 0}, "must be a positive integer"),
        ({"gradient_accumulation_steps": 1.5}, "_steps=1.5"),
    ],
)
def test_wrong_arguments_are_refused(
    options: dict[str, Any], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        small_model(**options)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_accumulation_is_asked_for_once(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="Give it to one"):
        small_model(optimizer=optimizer, gradient_accumulation_steps=2)
    small_model(optimizer=optimizer)


def test_the_norm_of_all_gradients_together_is_limited() -> None:
    def change(limit: float | None) -> np.ndarray:
        model = small_model(
            optimizer=keras.optimizers.SGD(1.0), global_clipnorm=limit
        )
        before = model.get_weights()
        train(model, [], steps=1)
        return np.concatenate(
            [
                (new - old).ravel()
                for old, new in zip(before, model.get_weights(), strict=True)
            ]
        )

    whole = change(None)
    assert np.linalg.norm(whole) > 0.1
    # Scaled down, in the same direction.
    expected = whole * 0.1 / np.linalg.norm(whole)
    # The change of weights near 1 is known to a rounding of 1e-7.
    np.testing.assert_allclose(change(0.1), expected, atol=1e-6)
    np.testing.assert_allclose(change(100.0), whole, atol=1e-6)


def test_observers_see_the_gradients_of_each_batch_unclipped() -> None:
    norms: list[float] = []
    names: list[list[str]] = []

    def note(pairs: Sequence[Any]) -> None:
        names.append([variable.name for _, variable in pairs])
        norm = tf.linalg.global_norm([gradient for gradient, _ in pairs])
        tf.py_function(lambda value: norms.append(float(value)), [norm], [])

    model = small_model(global_clipnorm=1e-9, gradient_observers=[note])
    x, y = first_batch()
    pairs = model.compute_gradients(x, y).grads_and_vars
    assert norms == []
    train(model, [], steps=3)
    # The function runs while the step is built, what it adds in each step.
    assert set(map(tuple, names)) == {("kernel", "bias")}
    assert len(norms) == 3
    expected = float(tf.linalg.global_norm([gradient for gradient, _ in pairs]))
    assert norms[0] == pytest.approx(expected, rel=1e-5)


def test_batch_loss_is_nan_before_the_first_batch() -> None:
    model = small_model()
    assert np.isnan(model.batch_loss)
    assert model.skipped_updates == 0


@pytest.mark.parametrize("per_execution", [1, 5])
def test_batch_loss_is_that_of_the_newest_batch(per_execution: int) -> None:
    rate = keras.optimizers.SGD(0.0)
    model = small_model(optimizer=rate, steps_per_execution=per_execution)
    train(model, [], steps=10)
    x, y = list(small_batches().take(10))[-1]
    expected = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    assert model.batch_loss == pytest.approx(expected, rel=1e-6)


def test_a_model_is_of_the_class_it_was_made_by() -> None:
    model = small_model()
    assert type(model).__name__ == "GradientModel"
    assert isinstance(model, GradientModel)
    assert isinstance(OwnInit(2), OwnInit)
    assert OwnInit(2).units == 2


def test_a_functional_model_breaks_no_other_subclass() -> None:
    small_model()
    OwnInit(3)
    model = OwnCall()
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss="sparse_categorical_crossentropy",
    )
    assert model(np.zeros((2, 4), "float32")).shape == (2, 3)

    class Later(GradientModel):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs

    assert Later()(np.ones((2, 4), "float32")).shape == (2, 4)


def test_a_subclass_with_its_own_call_trains_alike() -> None:
    functional = small_model()
    model = OwnCall()
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model(first_batch()[0])  # Makes the weights.
    model.set_weights(functional.get_weights())
    history = train(model, [], steps=20).history
    expected = train(functional, [], steps=20).history
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert history["accuracy"] == expected["accuracy"]


def test_training_goes_on_from_a_file_as_without_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "optimizer": "adam",
        "global_clipnorm": 0.5,
        "gradient_accumulation_steps": 2,
    }
    model = small_model(**options)
    train(model, [], steps=10)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        train(one, [], steps=10)
    assert same_weights(model.get_weights(), loaded.get_weights())
    assert int(loaded.optimizer.iterations) == 10


@pytest.mark.slow
@pytest.mark.fault("B22")
def test_a_new_process_needs_only_the_package(tmp_path: Path) -> None:
    model = small_model(
        optimizer="adam", global_clipnorm=0.5, gradient_accumulation_steps=3
    )
    train(model, [], steps=6)
    path = tmp_path / "model.keras"
    model.save(path)
    x, y = small_arrays()
    (loaded,) = load_elsewhere([path], x, y)
    assert loaded.class_name == "GradientModel"
    assert loaded.is_gradient_model
    assert loaded.compile_config["global_clipnorm"] == 0.5
    assert loaded.compile_config["gradient_accumulation_steps"] == 3
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(loaded.outputs, expected, rtol=1e-6)
    np.testing.assert_allclose(loaded.bare_outputs, expected, rtol=1e-6)


def test_gradient_observers_in_a_file_are_refused(tmp_path: Path) -> None:
    """S14: a function of the file's choice, called in every step."""
    path, changed = tmp_path / "m.keras", tmp_path / "changed.keras"
    small_model().save(path)
    with (
        zipfile.ZipFile(path) as archive,
        zipfile.ZipFile(changed, "w") as copy,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["compile_config"]["gradient_observers"] = ["relu"]
                content = json.dumps(config).encode()
            copy.writestr(name, content)
    with pytest.raises(ValueError, match="which no saved model has"):
        keras.saving.load_model(changed)
    keras.saving.load_model(changed, compile=False)


@pytest.mark.parametrize("factor", [1, 100])
def test_a_mean_of_the_users_own_is_not_updated_again(factor: int) -> None:
    """As in the docstring of `keras.Model.compute_loss`."""

    def fit(base: Any) -> list[float]:
        class OwnMean(base):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.loss_tracker = keras.metrics.Mean(name="loss")

            def compute_loss(
                self,
                x: Any = None,
                y: Any = None,
                y_pred: Any = None,
                sample_weight: Any = None,
                training: bool = True,
            ) -> Any:
                loss = tf.reduce_mean((y_pred - y) ** 2)
                self.loss_tracker.update_state(factor * loss)
                return loss

            @property
            def metrics(self) -> list[keras.metrics.Metric]:
                return [self.loss_tracker]

        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        model = OwnMean(inputs, keras.layers.Dense(1)(inputs))
        x, _ = small_arrays(25)
        for _ in range(2):  # Compiled again, too.
            model.compile(keras.optimizers.SGD(0.0))
            history = model.fit(
                x, x[:, :1], batch_size=10, shuffle=False, verbose=0
            )
        values: list[float] = history.history["loss"]
        return values

    assert fit(GradientModel) == pytest.approx(fit(keras.Model))
