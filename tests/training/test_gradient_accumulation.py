"""Several small batches train as one large batch would."""

from collections.abc import Sequence
from typing import Any
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.losses import CourseCrossEntropy
from keras_port.optimizers import Adam
from keras_port.training import GradientModel
from keras_port.training.gradient_norm import global_norm
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model

UPDATES = 12


def batches(size: int) -> tf.data.Dataset:
    """Returns the same 144 examples in the same order, in batches of a size."""
    x, y = small_arrays(12 * UPDATES)
    # Batches of a different weight, so that the norm of the gradients changes.
    x *= np.linspace(0.2, 3, len(x))[:, None].astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def trained(size: int, steps: int | None, **options: Any) -> GradientModel:
    model = small_model(gradient_accumulation_steps=steps, **options)
    model.fit(batches(size), verbose=0)
    return model


@pytest.mark.fault("B45")
@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(0.01, weight_decay=0.1),
        keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1),
    ],
    ids=lambda optimizer: optimizer.name,
)
@pytest.mark.parametrize(
    ("loss", "limit"),
    [
        (keras.losses.SparseCategoricalCrossentropy(), 1.0),
        (CourseCrossEntropy("sum"), 12.0),
    ],
    ids=["mean", "sum"],
)
def test_three_batches_of_four_are_one_of_twelve(
    optimizer: keras.optimizers.Optimizer, loss: Any, limit: float
) -> None:
    norms: list[float] = []

    def note(pairs: Sequence[Any]) -> None:
        norm = tf.linalg.global_norm([gradient for gradient, _ in pairs])
        tf.py_function(lambda value: norms.append(float(value)), [norm], [])

    def options() -> dict[str, Any]:
        copy = type(optimizer).from_config(optimizer.get_config())
        return {"optimizer": copy, "loss": loss, "global_clipnorm": limit}

    start = small_model().get_weights()
    whole = trained(12, None, gradient_observers=[note], **options())
    parts = trained(4, 3, **options())
    # Some updates are limited and some are not; where all are, a factor in
    # the gradients would not show.
    assert min(norms) < limit < max(norms)
    assert int(whole.optimizer.iterations) == UPDATES
    assert int(parts.optimizer.iterations) == UPDATES
    assert np.abs(whole.get_weights()[0] - start[0]).max() > 0.01
    for left, right in zip(
        whole.get_weights(), parts.get_weights(), strict=True
    ):
        # The row's limit; what is left is the order of float32 additions.
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-6)


@pytest.mark.fault("B45")
def test_the_loss_in_the_history_is_that_of_all_examples() -> None:
    def loss(size: int, steps: int | None) -> float:
        model = small_model(
            optimizer=keras.optimizers.SGD(0.0),
            gradient_accumulation_steps=steps,
        )
        history = model.fit(batches(size), verbose=0).history
        return float(history["loss"][0])

    assert loss(4, 3) == pytest.approx(loss(12, None), rel=1e-6)


def test_weights_change_at_the_last_batch_only() -> None:
    model = small_model(gradient_accumulation_steps=3)
    changed = []
    for x, y in batches(4).take(6):
        before = model.get_weights()
        model.apply_gradients(model.compute_gradients(x, y).grads_and_vars)
        changed.append(not same_weights(before, model.get_weights()))
    assert changed == [False, False, True, False, False, True]
    assert int(model.optimizer.iterations) == 2


def test_what_waits_goes_on_in_the_next_fit() -> None:
    model = small_model(gradient_accumulation_steps=3)
    for _ in range(3):
        model.fit(batches(4).take(1), verbose=0)
    assert int(model.optimizer.iterations) == 1


class InGroups(GradientModel):
    """Updates the two kernels one after the other."""

    def apply_gradients(self, grads_and_vars: Sequence[Any]) -> None:
        super().apply_gradients(grads_and_vars[:1])
        super().apply_gradients(grads_and_vars[1:])


def two_layers(cls: Any, **options: Any) -> GradientModel:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, use_bias=False)(inputs)
    model = cls(inputs, keras.layers.Dense(3, "softmax", use_bias=False)(x))
    model.compile(
        keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", **options
    )
    return model


def test_groups_of_weights_accumulate_apart() -> None:
    whole, parts = (
        two_layers(InGroups),
        two_layers(InGroups, gradient_accumulation_steps=3),
    )
    before = whole.get_weights()
    whole.fit(batches(12), verbose=0)
    parts.fit(batches(4), verbose=0)
    for one, other, old in zip(
        whole.get_weights(), parts.get_weights(), before, strict=True
    ):
        assert np.abs(one - old).max() > 0.01
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_weights_that_are_left_out_accumulate_nothing() -> None:
    class Second(GradientModel):
        def apply_gradients(self, grads_and_vars: Sequence[Any]) -> None:
            super().apply_gradients(grads_and_vars[1:])

    model = two_layers(Second, gradient_accumulation_steps=2)
    # Whoever asks first: a snapshot, or the first step.
    names = [variable.name for variable in model.step_variables]
    before = model.get_weights()
    model.fit(batches(4), verbose=0)
    assert [variable.name for variable in model.step_variables] == names
    after = model.get_weights()
    assert np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])


def test_a_weight_without_a_gradient_in_the_last_batch_is_updated() -> None:
    class Branches(GradientModel):
        branch = 0

        def __init__(self) -> None:
            super().__init__()
            self.parts = [
                keras.layers.Dense(1, use_bias=False) for _ in range(3)
            ]

        def build(self, shape: Any) -> None:
            for part in self.parts:
                part.build(shape)

        def call(self, inputs: Any) -> Any:
            return self.parts[self.branch](inputs)

    model = Branches()
    model.build((None, 4))
    model.compile(
        keras.optimizers.SGD(0.1),
        "mse",
        gradient_accumulation_steps=2,
        run_eagerly=True,
    )
    x, _ = small_arrays(20)
    before, expected = model.get_weights(), []
    for branch in (0, 1):
        model.branch = branch
        part = x[10 * branch : 10 * branch + 10]
        result = model.compute_gradients(part, part[:, :1])
        expected.append(0.1 * result.gradients[branch].numpy() / 2)
        with pytest.warns(UserWarning, match="does not depend on"):
            model.apply_gradients(result.grads_and_vars)
    moved = [
        old - new for old, new in zip(before, model.get_weights(), strict=True)
    ]
    np.testing.assert_allclose(moved[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(moved[1], expected[1], atol=1e-6)
    assert not np.any(moved[2])


def test_a_weight_that_was_frozen_in_compile_is_named() -> None:
    inputs = keras.Input((4,))
    frozen = keras.layers.Dense(4, trainable=False, name="frozen")
    outputs = keras.layers.Dense(3, "softmax")(frozen(inputs))
    model = GradientModel(inputs, outputs)
    model.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        gradient_accumulation_steps=2,
    )
    model.fit(batches(4), verbose=0)
    frozen.trainable = True
    x, y = small_arrays(4)
    pairs = model.compute_gradients(x, y).grads_and_vars
    with pytest.raises(ValueError, match=r"frozen/kernel.*Compile the model"):
        model.apply_gradients(pairs)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("ours", "stock"),
    [
        ({}, {}),
        ({"global_clipnorm": 0.1}, {"global_clipnorm": 0.1}),
        (
            {"gradient_accumulation_steps": 2},
            {"gradient_accumulation_steps": 2},
        ),
    ],
)
def test_the_scales_of_float8_are_those_of_keras(
    ours: dict[str, Any], stock: dict[str, Any]
) -> None:
    x, _ = small_arrays(32)

    def fit(cls: Any, adam: dict[str, Any], **options: Any) -> keras.Model:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(3)(inputs)
        model = cls(inputs, keras.layers.Dense(1)(hidden))
        model.quantize("float8")
        model.compile(keras.optimizers.Adam(0.01, **adam), "mse", **options)
        model.fit(x * 50, x[:, :1], batch_size=8, shuffle=False, verbose=0)
        return model

    found, expected = fit(GradientModel, {}, **ours), fit(keras.Model, stock)
    for one, other in zip(found.variables, expected.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, err_msg=one.path)


@pytest.mark.filterwarnings("ignore")
def test_our_adam_trains_in_float8() -> None:
    model = two_layers(keras.Model)
    model.quantize("float8")
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    before = model.layers[1].kernel.numpy()
    model.fit(batches(12), verbose=0)
    assert not np.array_equal(before, model.layers[1].kernel.numpy())


@pytest.mark.parametrize("steps", [None, 2])
def test_tokens_that_repeat_count_in_the_norm(steps: int | None) -> None:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(4, 3)(inputs)
    x = keras.layers.GlobalAveragePooling1D()(x)
    outputs = keras.layers.Dense(1, kernel_initializer="ones")(x)
    model = GradientModel(inputs, outputs)
    model.compile(
        keras.optimizers.SGD(1.0),
        "mse",
        global_clipnorm=0.1,
        gradient_accumulation_steps=steps,
    )
    model.step_log.norm_freq.assign(1)
    before = model.get_weights()
    tokens = np.zeros((16, 5), int) + np.arange(5) % 2
    model.fit(
        tokens, np.full((16, 1), 3.0), batch_size=16 // (steps or 1), verbose=0
    )
    squares = [
        ((old - new) ** 2).sum()
        for old, new in zip(before, model.get_weights(), strict=True)
    ]
    assert np.sqrt(np.sum(squares)) == pytest.approx(0.1, rel=1e-4)
    result = model.compute_gradients(tokens, np.full((16, 1), 3.0))
    dense = [tf.convert_to_tensor(gradient) for gradient in result.gradients]
    assert float(global_norm(result.gradients)) == pytest.approx(
        float(tf.linalg.global_norm(dense))
    )


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
@pytest.mark.parametrize("limit", [None, 0.5])
def test_layers_may_have_several_dtypes(
    dtype: str, limit: float | None
) -> None:
    def fit(cls: Any, adam: dict[str, Any], **options: Any) -> list[Any]:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        x = keras.layers.Dense(3, dtype=dtype)(inputs)
        model = cls(inputs, keras.layers.Dense(1, dtype="float32")(x))
        model.compile(keras.optimizers.SGD(0.1, **adam), "mse", **options)
        x, _ = small_arrays(20)
        model.fit(x, 10 * x[:, :1], shuffle=False, verbose=0)
        return [np.float64(weight) for weight in model.get_weights()]

    found = fit(GradientModel, {}, global_clipnorm=limit)
    if limit is None:
        assert same_weights(found, fit(keras.Model, {}))
    else:
        start = fit(GradientModel, {}, global_clipnorm=1e-9)
        squares = [
            ((a - b) ** 2).sum() for a, b in zip(found, start, strict=True)
        ]
        assert np.sqrt(sum(squares)) == pytest.approx(0.1 * limit, rel=0.1)


@pytest.mark.parametrize("as_dictionary", [False, True])
def test_outputs_without_a_loss_are_of_no_kind(as_dictionary: bool) -> None:
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in "pq"}
    losses = {"p": keras.losses.MeanSquaredError(reduction="sum"), "q": None}
    x, _ = small_arrays(16)

    def fit(size: int, steps: int | None) -> list[np.ndarray]:
        keras.utils.set_random_seed(1)
        model = keras.models.clone_model(
            GradientModel(
                inputs, outputs if as_dictionary else list(outputs.values())
            )
        )
        model.compile(
            keras.optimizers.SGD(0.01),
            losses if as_dictionary else list(losses.values()),
            gradient_accumulation_steps=steps,
        )
        y = {"p": x[:, :1], "q": x[:, :1]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `q` has no gradient.
            model.fit(
                x,
                y if as_dictionary else list(y.values()),
                batch_size=size,
                shuffle=False,
                verbose=0,
            )
        return [weight.copy() for weight in model.get_weights()]

    for one, other in zip(fit(16, None), fit(8, 2), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_order_of_the_pairs_decides_nothing(is_reversed: bool) -> None:
    class HeadFirst(GradientModel):
        """Trains the last layer alone at first."""

        warms_up = True

        def apply_gradients(self, grads_and_vars: Sequence[Any]) -> None:
            body, head = grads_and_vars
            pairs = [head] if self.warms_up else [body, head]
            super().apply_gradients(pairs[::-1] if is_reversed else pairs)

    model = two_layers(
        HeadFirst, gradient_accumulation_steps=4, run_eagerly=True
    )
    x, y = small_arrays(8)
    before = model.get_weights()
    expected = [
        0.1 * np.asarray(one) for one in model.compute_gradients(x, y).gradients
    ]
    for batch in range(4):
        model.warms_up = batch < 2
        model.train_on_batch(x, y)
    moved = [
        old - new for old, new in zip(before, model.get_weights(), strict=True)
    ]
    # The mean of the batches in which a weight took part.
    np.testing.assert_allclose(moved[0], expected[0], atol=1e-6)
    np.testing.assert_allclose(moved[1], expected[1], atol=1e-6)


def test_a_gradient_that_one_graph_has_not_is_not_lost() -> None:
    class Optional(GradientModel):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [
                keras.layers.Dense(1, use_bias=False) for _ in range(2)
            ]
            for part in self.parts:
                part.build((None, 4))
            self.built = True

        def call(self, inputs: Any) -> Any:
            used = zip(self.parts, inputs.values(), strict=False)
            return sum(part(x) for part, x in used)

    model = Optional()
    model.compile(
        keras.optimizers.SGD(0.1), "mse", gradient_accumulation_steps=2
    )
    x, _ = small_arrays(8)
    one, both = {"a": x}, {"a": x, "b": x}
    before = model.parts[1].kernel.numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A weight has no gradient.
        for inputs in (one, one, both, one, one, both):
            model.train_on_batch(inputs, x[:, :1])
    assert not np.array_equal(before, model.parts[1].kernel.numpy())
    assert not any(np.any(total) for total in model.step_variables[-2:])


def test_an_unbuilt_model_accumulates_what_it_is_built_of() -> None:
    class Lazy(GradientModel):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, activation="softmax")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    lazy = Lazy()
    lazy.compile(
        "sgd",
        "sparse_categorical_crossentropy",
        gradient_accumulation_steps=2,
    )
    assert lazy.step_variables  # Read before there are weights.
    lazy.fit(batches(4), verbose=0)
    assert int(lazy.optimizer.iterations) == 18
