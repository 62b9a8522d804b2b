"""`GradientModel` where other programs have `keras.Model`."""

from collections.abc import Callable
import pickle
from typing import Any
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from keras_port import training
from keras_port.training import GradientModel
from tests.small import small_arrays

ONES = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")


def make_model(cls: Any = GradientModel, **dense: Any) -> Any:
    inputs = keras.Input((4,))
    return cls(inputs, keras.layers.Dense(1, **dense)(inputs))


def fit_once(model: Any, **kwargs: Any) -> Any:
    return model.fit(*ONES, verbose=0, **kwargs).history


@pytest.mark.fault("C02")
def test_an_endless_dataset_needs_a_number_of_steps() -> None:
    model = models.build_perceptron()
    model.compile("sgd", losses.CourseCrossEntropy())
    split = datasets.ImageSplit(
        np.zeros((20, 28, 28), "uint8"), np.zeros(20, "uint8")
    )
    endless = datasets.shuffled_batches(split, 10, seed=1)
    with pytest.raises(ValueError, match="`fit` needs `steps_per_epoch`"):
        model.fit(endless)
    with pytest.raises(ValueError, match="`fit` needs `validation_steps`"):
        model.fit(endless, steps_per_epoch=1, validation_data=endless)


@pytest.mark.fault("C01")
@pytest.mark.parametrize("steps", [0, -3])
def test_no_steps_train_nothing(steps: int) -> None:
    model = make_model()
    model.compile("sgd", "mse", metrics=["mae"])
    endless = tf.data.Dataset.from_tensor_slices(ONES).batch(4).repeat()
    before = model.get_weights()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(endless, steps_per_epoch=steps, verbose=0)
    assert history.history == {}
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    # And the next `fit` trains.
    model.fit(endless, steps_per_epoch=2, verbose=0)
    assert int(model.optimizer.iterations) == 2


@pytest.mark.fault("C17", "P5", "P17", "E7")
def test_arguments_are_taken_by_position() -> None:
    model = make_model()
    model.compile("sgd", "mse", None, ["mae"], None, False)
    history = model.fit(*ONES, 4, 2, 0)
    assert len(history.epoch) == 2
    assert "mae" in history.history
    with pytest.raises(TypeError, match="argument"):
        model.fit(*ONES, batch=4)


@pytest.mark.fault("C16", "P7")
@pytest.mark.parametrize("keyword_only", [False, True])
def test_compute_loss_has_any_signature(keyword_only: bool) -> None:
    class Positional(GradientModel):
        def compute_loss(
            self,
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
        ) -> Any:
            return keras.ops.mean((y - y_pred) ** 2)

    class KeywordOnly(GradientModel):
        def compute_loss(self, *, y_pred: Any, y: Any, **kwargs: Any) -> Any:
            return keras.ops.mean((y - y_pred) ** 2)

    model = make_model(KeywordOnly if keyword_only else Positional)
    model.compile("sgd", "mse")
    fit_once(model)
    loss = model.evaluate(*ONES, verbose=0)
    evaluation = training.Evaluator(model, ONES).evaluate()
    assert evaluation["loss"] == pytest.approx(loss)


@pytest.mark.fault("C18", "P4")
def test_examples_of_the_ignored_class_count_for_nothing() -> None:
    x = small_arrays(8)[0]
    labels = np.array([0, 1, 2, -1, -1, 1, 0, 2])

    def train(cls: Any) -> Any:
        keras.utils.set_random_seed(1)
        inputs = keras.Input(x.shape[1:])
        outputs = keras.layers.Dense(3, "softmax")(inputs)
        model = cls(inputs, outputs)
        model.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
        )
        model.fit(x, labels, verbose=0, shuffle=False)
        dataset = tf.data.Dataset.from_tensor_slices((x, labels)).batch(8)
        model.fit(dataset, verbose=0, shuffle=False)
        return model

    model = train(GradientModel)
    np.testing.assert_allclose(
        model.get_weights()[0], train(keras.Model).get_weights()[0], rtol=1e-6
    )
    training.Evaluator(model, (x, labels)).evaluate()
    with pytest.raises(ValueError, match="Labels must be integers"):
        model.fit(x, np.where(labels < 0, 7, labels), verbose=0)


@pytest.mark.fault("C18")
def test_a_subclass_of_a_loss_has_its_own_rule_for_labels() -> None:
    class Shifted(keras.losses.SparseCategoricalCrossentropy):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return super().call(y_true - 1, y_pred)

    inputs = keras.Input((4,))
    model = GradientModel(inputs, keras.layers.Dense(3, "softmax")(inputs))
    model.compile("sgd", Shifted())
    model.fit(ONES[0], np.full(8, 3), verbose=0)


@pytest.mark.fault("C19")
def test_an_added_loss_counts_once_in_an_accumulated_sum() -> None:
    x, y = np.random.default_rng(0).random((20, 4), "float32"), np.arange(20)

    def train(size: int, steps: int | None) -> Any:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        outputs = keras.layers.Dense(
            3, "softmax", kernel_regularizer=keras.regularizers.L2(1.0)
        )(inputs)
        model = GradientModel(inputs, outputs)
        model.compile(
            keras.optimizers.SGD(0.01),
            keras.losses.SparseCategoricalCrossentropy(reduction="sum"),
            gradient_accumulation_steps=steps,
        )
        model.fit(x, y % 3, batch_size=size, shuffle=False, verbose=0)
        return model

    one, two = train(20, None), train(10, 2)
    np.testing.assert_allclose(
        one.get_weights()[0], two.get_weights()[0], atol=1e-6
    )
    values = [
        training.Evaluator(one, (x, y % 3), batch_size=n).evaluate()["loss"]
        for n in (20, 10, 1)
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


@pytest.mark.fault("C19")
def test_losses_that_cannot_be_accumulated_are_refused() -> None:
    model = make_model()
    with pytest.raises(ValueError, match="With `gradient_accumulation_steps`"):
        model.compile(
            "sgd",
            ["mse", keras.losses.MeanSquaredError(reduction="sum")],
            gradient_accumulation_steps=2,
        )
    model.compile(
        "sgd",
        keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
        gradient_accumulation_steps=2,
    )
    with pytest.raises(ValueError, match="with `sample_weight`"):
        fit_once(model, sample_weight=np.arange(8.0))


@pytest.mark.fault("C19")
def test_a_weighted_mean_is_the_same_for_every_slice() -> None:
    weights = np.r_[np.ones(4), np.full(4, 5.0)].astype("float32")
    x = np.random.default_rng(0).random((8, 4), "float32")
    model = make_model()
    model.compile(
        "sgd",
        keras.losses.MeanSquaredError(reduction="mean_with_sample_weight"),
    )
    values = [
        training.Evaluator(
            model, (x, ONES[1], weights), batch_size=size
        ).evaluate()["loss"]
        for size in (8, 4, 3)
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


@pytest.mark.fault("C19")
def test_a_masked_mean_is_the_same_for_every_slice() -> None:
    x = np.random.default_rng(0).integers(0, 4, (40, 6))
    inputs = keras.Input((6,), dtype="int32")
    hidden = keras.layers.Embedding(4, 3, mask_zero=True)(inputs)
    model = GradientModel(inputs, keras.layers.Dense(1)(hidden))
    model.compile("sgd", "mse")
    y = np.random.default_rng(1).random((40, 6, 1), "float32")
    values = [
        training.Evaluator(model, (x, y), batch_size=size).evaluate()["loss"]
        for size in (40, 7)
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-6)


BUILDERS: list[Callable[[], Any]] = [
    make_model,
    models.build_perceptron,
    lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]),
]


@pytest.mark.fault("C33", "P8", "E2")
@pytest.mark.parametrize("build", BUILDERS)
def test_models_pickle(build: Callable[[], Any]) -> None:
    model = build()
    model.compile("sgd", "mse")
    x = np.ones((2, *model.input_shape[1:]), "float32")
    model.fit(x, model.predict(x, verbose=0), verbose=0)
    loaded = pickle.loads(pickle.dumps(model))
    assert type(loaded).__qualname__ == type(model).__qualname__
    assert int(loaded.optimizer.iterations) == 1
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    )


@pytest.mark.fault("C34")
@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse", "mae"])
def test_hard_examples_take_targets_without_an_axis(loss: str) -> None:
    x, y = small_arrays(60)[0], np.arange(60) % 2
    model = make_model(activation="sigmoid")
    model.compile("sgd", loss, example_selection=training.HardExamples(4))
    history = model.fit(x, y.astype("float32"), batch_size=10, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.fault("P1")
def test_a_model_with_its_own_compile_is_loaded_without_it(
    tmp_path: Any,
) -> None:
    @keras.saving.register_keras_serializable("test_drop_in")
    class Gan(GradientModel):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def compile(self, d_optimizer: Any, g_optimizer: Any) -> None:  # type: ignore[override]
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    model = Gan()
    model(ONES[0])
    model.compile("sgd", "sgd")
    model.save(tmp_path / "gan.keras")
    with pytest.warns(UserWarning, match=r"`compile\(\)` was not called"):
        loaded = keras.saving.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(loaded(ONES[0]), model(ONES[0]))


@pytest.mark.fault("P6")
def test_a_model_without_trainable_weights_computes_metrics() -> None:
    model = make_model()
    model.layers[1].trainable = False
    model.compile("sgd", "mse", metrics=["mae"])
    with pytest.warns(UserWarning, match="any trainable weights"):
        history = fit_once(model)
    assert sorted(history) == ["loss", "mae"]


@pytest.mark.fault("P9")
def test_an_optional_input_may_be_none() -> None:
    class AddIfGiven(keras.layers.Layer):
        def call(self, x: Any, other: Any = None) -> Any:
            return x if other is None else x + other

    x = keras.Input((4,), name="x")
    other = keras.Input((4,), name="a", optional=True)
    outputs = keras.layers.Dense(1)(AddIfGiven()(x, other))
    model = GradientModel({"a": other, "x": x}, outputs)
    model.compile("sgd", "mse")
    model.fit({"a": None, "x": ONES[0]}, ONES[1], verbose=0)
    assert model.batches_seen == 1


@pytest.mark.fault("P10")
@pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"),
    reason="this Keras has no MultiOptimizer",
)
def test_several_optimizers_in_one_train_a_model() -> None:
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(3, name="a")(inputs)
    model = GradientModel(inputs, keras.layers.Dense(1, name="b")(hidden))
    adam, sgd = keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1)
    model.compile(
        keras.optimizers.MultiOptimizer(
            lambda v: adam if "kernel" in v.path else sgd
        ),
        "mse",
    )
    fit_once(model)
    assert np.isnan(model.step_log.read(0, 9).learning_rate).all()


@pytest.mark.fault("P11")
def test_a_train_step_needs_no_optimizer() -> None:
    class Counts(GradientModel):
        def train_step(self, data: Any) -> Any:
            return {"n": tf.constant(1.0)}

    model = make_model(Counts)
    model.compile(optimizer=None)
    assert fit_once(model)["n"] == [1.0]


@pytest.mark.fault("P12")
def test_a_metric_named_loss_is_of_any_class() -> None:
    class Sums(GradientModel):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.total = keras.metrics.Sum(name="loss")

        @property
        def metrics(self) -> Any:
            return [self.total]

        def train_step(self, data: Any) -> Any:
            self.total.update_state(1.0)
            return {"loss": self.total.result()}

    model = make_model(Sums)
    model.compile("sgd")
    assert fit_once(model)["loss"] == [1.0]


@pytest.mark.fault("P13")
def test_a_model_that_builds_itself_is_cloned() -> None:
    class Builds(GradientModel):
        def __init__(self, width: int = 3) -> None:
            inputs = keras.Input((4,))
            super().__init__(inputs, keras.layers.Dense(width)(inputs))

    model = Builds()
    model.compile("sgd", "mse")
    assert keras.models.clone_model(model).output_shape == (None, 3)


@pytest.mark.fault("E3")
def test_a_functional_model_is_built_from_its_config() -> None:
    model = models.build_perceptron()
    model.build_from_config(model.get_build_config())
    assert model.built


@pytest.mark.fault("P27")
def test_a_subclass_names_its_attributes() -> None:
    class Own(GradientModel):
        def __init__(self) -> None:
            super().__init__()
            self.batches = 0
            self.steps = 0

    assert Own().batches == 0


@pytest.mark.fault("C03", "E1")
@pytest.mark.parametrize("base", [None, keras.Model])
@pytest.mark.parametrize("one_hot_first", [False, True])
def test_metrics_take_labels_in_either_form(
    base: Any, one_hot_first: bool
) -> None:
    # 10 rows of 10 classes: a wrong form would broadcast without an error.
    rng = np.random.default_rng(0)
    x = rng.random((10, 784), "float32")
    labels = rng.integers(0, 10, 10)
    one_hot = np.eye(10, dtype="float32")[labels]
    first, second = (one_hot, labels) if one_hot_first else (labels, one_hot)
    model = models.build_perceptron()
    if base is not None:
        model = base(model.inputs, model.outputs)
    model.compile(
        keras.optimizers.SGD(0.5),
        losses.CourseCrossEntropy(),
        metrics=["accuracy"],
    )
    model.fit(x, first, verbose=0, epochs=2)
    right = float((model.predict(x, verbose=0).argmax(1) == labels).mean())
    assert right != 1 / 10  # Not what a wrong form might give by chance.
    evaluator = training.Evaluator(model, (x, second))
    evaluator.metric_names()
    assert evaluator.evaluate()["accuracy"] == pytest.approx(right)
    if base is None:
        results = model.evaluate(x, second, verbose=0, return_dict=True)
        assert results["accuracy"] == pytest.approx(right)
        history = model.fit(x, second, batch_size=10, verbose=0).history
        assert history["accuracy"][0] == pytest.approx(right)


@pytest.mark.fault("P21")
def test_an_accumulating_optimizer_is_refused_on_several_devices() -> None:
    from keras_port import distribution

    with distribution.mirrored_strategy(2).scope():
        model = make_model()
        with pytest.raises(ValueError, match="accumulates gradients"):
            model.compile(
                keras.optimizers.SGD(gradient_accumulation_steps=2), "mse"
            )


@pytest.mark.fault("P21")
def test_a_distributed_dataset_is_refused() -> None:
    from keras_port import distribution

    strategy = distribution.mirrored_strategy(2)
    with strategy.scope():
        model = make_model()
        model.compile(optimizers.Adam(), "mse")
    dataset = tf.data.Dataset.from_tensor_slices(ONES).batch(4)
    with pytest.raises(ValueError, match="a strategy has distributed"):
        model.fit(strategy.experimental_distribute_dataset(dataset))
