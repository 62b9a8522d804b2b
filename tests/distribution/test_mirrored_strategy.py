"""Several replicas: what users report of them, and what is refused."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import distribution
from keras_port import layers
from keras_port import losses
from keras_port import models
from keras_port import training
from tests.distribution.networks import build_small_cnn
from tests.distribution.networks import compiled
from tests.distribution.networks import data_for


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(1.0)


def local(strategy: Any, values: Any) -> list[Any]:
    return [np.asarray(v) for v in strategy.experimental_local_results(values)]


def test_a_strategy_has_as_many_replicas_as_it_was_asked_for() -> None:
    for count in (1, 2, 4):
        assert (
            distribution.mirrored_strategy(count).num_replicas_in_sync == count
        )
    assert distribution.mirrored_strategy().num_replicas_in_sync == max(
        1, len(tf.config.list_logical_devices("GPU"))
    )


@pytest.mark.parametrize("number", [0, -1, 1.5, "2"])
def test_a_number_that_is_none_is_refused(number: Any) -> None:
    with pytest.raises(
        ValueError, match="`num_devices` must be an integer from 1 to 256"
    ):
        distribution.mirrored_strategy(number)


def test_more_devices_than_there_are_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not tf.config.list_physical_devices("GPU"):
        with pytest.raises(RuntimeError, match="uses the CPU as 4 already"):
            distribution.mirrored_strategy(5)
    gpu = tf.config.LogicalDevice("/device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [gpu])
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: [gpu])
    with pytest.raises(ValueError, match=r"there are 1 GPUs: /device:GPU:0\."):
        distribution.mirrored_strategy(2)


def test_what_is_made_outside_of_the_scope_is_refused() -> None:
    strategy = distribution.mirrored_strategy(2)
    model = models.build_perceptron()
    with (
        strategy.scope(),
        pytest.raises(ValueError, match=r"of 'perceptron' was made outside"),
    ):
        model.compile("sgd", losses.CourseCrossEntropy())
    optimizer = keras.optimizers.SGD()
    with strategy.scope():
        model = models.build_perceptron()
        with pytest.raises(ValueError, match=r"optimizer was made outside"):
            model.compile(optimizer, losses.CourseCrossEntropy())
        unbuilt = training.GradientModel()
        with pytest.raises(ValueError, match="has no weights yet"):
            unbuilt.compile("sgd", "mse")
    other = distribution.mirrored_strategy(2)
    with (
        other.scope(),
        pytest.raises(ValueError, match="the scope of one strategy"),
    ):
        model.compile("sgd", losses.CourseCrossEntropy())


def test_fit_is_called_outside_of_the_scope() -> None:
    model = compiled(models.build_perceptron, "mirrored", 2)
    with (
        model.replica_strategy.scope(),
        pytest.raises(ValueError, match="Move the call out of the block"),
    ):
        model.fit(*data_for(model), verbose=0)


@pytest.mark.fault("B48")
def test_without_xla_it_trains_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = compiled(models.build_perceptron, "mirrored", 2, jit_compile=True)
    assert "`jit_compile=True` does not work on several" in caplog.text
    before = model.get_weights()[0]
    model.fit(*data_for(model), verbose=0)
    assert np.any(model.get_weights()[0] != before)


@pytest.mark.fault("B51")
def test_masks_differ_by_replica_and_step_and_repeat_with_the_seed() -> None:
    def masks() -> list[Any]:
        strategy = distribution.mirrored_strategy(2)
        with strategy.scope():
            layer = layers.Dropout(rate=0.5, seed=7)

        @tf.function  # type: ignore[untyped-decorator]
        def step() -> Any:
            return strategy.run(lambda: layer(tf.ones((3, 50)), training=True))

        return [local(strategy, step()) for _ in range(2)]

    first, again = masks(), masks()
    assert np.array_equal(first, again)
    drawn = [tuple(mask.ravel()) for step in first for mask in step]
    assert len(set(drawn)) == 4
    # The mask of the whole batch of six, as one device draws it.
    whole = layers.Dropout(rate=0.5, seed=7)(tf.ones((6, 50)), training=True)
    assert np.array_equal(np.concatenate(first[0]), whole)


@pytest.mark.usefixtures("float64")
@pytest.mark.fault("B53")
@pytest.mark.parametrize("reduction", ["mean_over_elements", "sum"])
def test_nine_examples_in_batches_of_four_count_by_example(
    reduction: Any,
) -> None:
    trained = []
    for kind in ("mirrored", "plain"):
        model = compiled(
            models.build_perceptron,
            kind,
            2,
            loss=losses.CourseCrossEntropy(reduction),
            optimizer=sgd,
        )
        x, y = data_for(model)
        history = model.fit(
            x[:9], y[:9], batch_size=4, shuffle=False, verbose=0
        )
        trained.append([*history.history["loss"], *model.get_weights()])
    for several, one in zip(*trained, strict=True):
        np.testing.assert_allclose(several, one, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.fault("B54")
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_loop_of_ones_own_moves_as_far_as_one_device(by_hand: bool) -> None:
    model = compiled(
        build_small_cnn, "mirrored", 2, optimizer=sgd, global_clipnorm=0.5
    )
    x, y = data_for(model)
    strategy = model.replica_strategy
    batches = tf.data.Dataset.from_tensor_slices((x[:5], y[:5])).batch(5)

    def own(data: Any) -> Any:
        result = model.compute_gradients(*data)
        model.apply_gradients(result.grads_and_vars)
        return result.loss

    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: Any) -> Any:
        if by_hand:
            return strategy.run(own, (batch,))
        return strategy.run(model.train_step, (batch,))["loss"]

    (batch,) = strategy.experimental_distribute_dataset(batches)
    logged = local(strategy, step(batch))
    one = compiled(
        build_small_cnn, "plain", 1, optimizer=sgd, global_clipnorm=0.5
    )
    loss = one.train_on_batch(x[:5], y[:5])[0]
    assert len(logged) == (2 if by_hand else 1)
    np.testing.assert_allclose(logged, [loss] * len(logged), rtol=0, atol=1e-12)
    for ours, theirs in zip(
        model.get_weights(), one.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    if not by_hand:
        assert model.batch_loss == pytest.approx(float(loss), abs=1e-12)
        assert model.batches_seen == 1


def test_accumulation_in_a_loop_of_ones_own_is_refused() -> None:
    model = compiled(
        models.build_perceptron, "mirrored", 2, gradient_accumulation_steps=2
    )
    x, y = data_for(model)
    with pytest.raises(ValueError, match=r"works in `fit` but not in a"):
        model.replica_strategy.run(
            tf.function(model.train_step), ((x[:2], y[:2]),)
        )


def test_mixed_losses_are_refused() -> None:
    strategy = distribution.mirrored_strategy(2)
    with strategy.scope():
        inputs = keras.Input((2,))
        outputs = [keras.layers.Dense(3)(inputs) for _ in range(2)]
        model = training.GradientModel(inputs, outputs)
        summed = keras.losses.MeanSquaredError(reduction="sum")
        model.compile("sgd", [summed, "mse"])
    x, y = np.ones((4, 2), "float32"), np.ones((4, 3), "float32")
    with pytest.raises(ValueError, match=r"reductions \['sum', 'sum_over"):
        model.fit(x, [y, y], verbose=0)


@pytest.mark.fault("B43")
def test_float16_scales_its_loss_and_skips_an_infinite_gradient() -> None:
    def build() -> Any:
        keras.config.set_dtype_policy("mixed_float16")
        return models.build_perceptron()

    weights = {}
    for kind in ("mirrored", "plain"):
        model = compiled(build, kind, 2, optimizer=sgd)
        x, y = data_for(model)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        weights[kind] = model.get_weights()[0]
        assert model.skipped_updates == 0
        steps = int(model.optimizer.iterations.numpy())
        factor = np.full(len(x), 1e30, "float32")
        model.fit(x, y, sample_weight=factor, batch_size=33, verbose=0)
        assert model.skipped_updates == 1
        assert int(model.optimizer.iterations.numpy()) == steps
    np.testing.assert_allclose(*weights.values(), rtol=0, atol=1e-3)


def test_a_metric_made_in_the_scope_sees_the_whole_batch() -> None:
    strategy = distribution.mirrored_strategy(2)
    with strategy.scope():
        model = models.build_perceptron()
        metric = keras.metrics.SparseCategoricalAccuracy("accuracy")
        model.compile(sgd(), losses.CourseCrossEntropy(), metrics=[metric])
    plain = compiled(models.build_perceptron, "plain", 1, optimizer=sgd)
    x, y = data_for(model)
    several, one = (
        m.fit(x, y, batch_size=5, shuffle=False, verbose=0).history
        for m in (model, plain)
    )
    assert several["accuracy"] == pytest.approx(one["accuracy"], abs=1e-6)


def test_a_variable_without_a_gradient_stays_as_it_is() -> None:
    class Unused(keras.layers.Layer):  # type: ignore[misc]
        def build(self, _: Any) -> None:
            self.unused = self.add_weight(shape=(2,), name="unused")

        def call(self, inputs: Any) -> Any:
            return inputs

    def build() -> Any:
        inputs = keras.Input((4,))
        x = Unused()(inputs)
        outputs = keras.layers.Dense(10, activation="softmax")(x)
        return models.ImageModel(inputs, outputs)

    for kind in ("mirrored", "towers"):
        model = compiled(build, kind, 2)
        before = model.get_weights()
        with pytest.warns(UserWarning, match="does not depend on unused"):
            model.fit(*data_for(model), verbose=0)
        moved = [
            bool(np.any(one != other))
            for one, other in zip(before, model.get_weights(), strict=True)
        ]
        assert moved == [False, True, True]


def test_a_metric_with_parts_on_several_machines_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strategy = distribution.mirrored_strategy(2)
    monkeypatch.setattr(
        tf.distribute, "MultiWorkerMirroredStrategy", type(strategy)
    )
    with strategy.scope():
        model = models.build_perceptron()
        metric = keras.metrics.SparseCategoricalAccuracy("accuracy")
        with pytest.raises(ValueError, match="'accuracy' was made in the sco"):
            model.compile("sgd", losses.CourseCrossEntropy(), metrics=[metric])


def test_a_step_of_another_kind_runs_on_each_replica() -> None:
    class Own(models.ImageModel):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            return logs | {"twice": 2 * logs["loss"]}

    strategy = distribution.mirrored_strategy(2)
    with strategy.scope():
        perceptron = models.build_perceptron()
        model = Own(perceptron.input, perceptron.output)
        model.compile(sgd(), losses.CourseCrossEntropy())
    x, y = data_for(model)
    model.fit(x[:8], y[:8], batch_size=8, shuffle=False, verbose=0)
    plain = compiled(models.build_perceptron, "plain", 1, optimizer=sgd)
    plain.fit(x[:8], y[:8], batch_size=8, shuffle=False, verbose=0)
    for ours, theirs in zip(
        model.get_weights(), plain.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
