"""What this package leans on in Keras without a promise, on stock Keras alone.

Each test is a row of "What we lean on" in docs/design.md. When Keras changes,
the test here fails first and says which row.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf


def small_arrays(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and targets."""
    x = np.random.default_rng(5).normal(size=(count, 4)).astype("float32")
    return x, x[:, :3]


def small_stock_model(**kwargs: Any) -> keras.Model:
    """Returns a compiled stock model for the small arrays."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    model.compile(optimizer="sgd", loss="mse", **kwargs)
    return model


class Recorder(keras.Model):
    """Runs functions of its own and records what Keras passes to them."""

    def __init__(self, results: list[Any]) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.results = results
        self.received: list[Any] = []

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def make_train_function(self, force: bool = False) -> None:
        def train(iterator: Any) -> Any:
            self.received.append(iterator)
            result = self.results[len(self.received) - 1]
            if result is StopIteration:
                raise StopIteration
            return result

        self.train_function = train


def compiled_recorder(*results: Any) -> Recorder:
    model = Recorder(list(results))
    model.compile(optimizer="sgd", loss="mse", steps_per_execution=3)
    return model


def test_fit_calls_train_function_and_logs_what_it_returns() -> None:
    model = compiled_recorder({"loss": 1.0}, {"loss": 2.0}, StopIteration)
    seen = []
    model.fit(
        *small_arrays(24),
        batch_size=8,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda _, logs: seen.append(logs["loss"])
            )
        ],
    )
    assert all(isinstance(one, tf.data.Iterator) for one in model.received)
    # Three steps are one call.
    assert seen == [1.0]


def test_fit_passes_the_same_iterator_to_every_call() -> None:
    model = compiled_recorder(*[{"loss": 1.0}] * 4)
    dataset = tf.data.Dataset.from_tensor_slices(small_arrays(24)).batch(8)
    model.fit(
        dataset.repeat(), steps_per_epoch=6, epochs=2, verbose=0, shuffle=False
    )
    first, *others = model.received
    assert len(others) == 3
    assert all(one is first for one in others)


def test_fit_ends_an_epoch_at_stop_iteration() -> None:
    model = compiled_recorder({"loss": 1.0}, {"loss": 2.0}, StopIteration)
    dataset = tf.data.Dataset.from_tensor_slices(small_arrays(24)).batch(8)
    dataset = dataset.filter(lambda *_: True)  # Of unknown length.
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(dataset, verbose=0, shuffle=False)
    assert len(model.received) == 3


def test_train_on_batch_passes_a_plain_iterator_of_one_batch() -> None:
    model = compiled_recorder({"loss": 1.0})
    model.train_on_batch(*small_arrays(8), return_dict=True)
    (iterator,) = model.received
    assert not isinstance(iterator, tf.data.Iterator)
    x, y, *_ = next(iterator)
    assert (x.shape, y.shape) == ((8, 4), (8, 3))


def test_absent_parts_of_a_batch_arrive_as_optionals() -> None:
    model = compiled_recorder({"loss": 1.0})
    x, y = small_arrays(8)
    batches = (batch for batch in [({"a": x, "b": None}, y)])
    model.fit(batches, steps_per_epoch=1, verbose=0, shuffle=False)
    batch = model.received[0].element_spec
    assert isinstance(batch[0]["b"], tf.OptionalSpec)


def test_evaluate_calls_test_function_in_the_same_way() -> None:
    received = []

    class Look(Recorder):
        def make_test_function(self, force: bool = False) -> None:
            def test(iterator: Any) -> dict[str, float]:
                received.append(iterator)
                return {"loss": 4.0}

            self.test_function = test

    model = Look([])
    model.compile(optimizer="sgd", loss="mse")
    model.evaluate(*small_arrays(8), verbose=0)
    assert isinstance(received[0], tf.data.Iterator)


def test_fit_distributes_batches_by_distribute_strategy_alone() -> None:
    class OneDevice(Recorder):
        @property
        def distribute_strategy(self) -> tf.distribute.Strategy:
            return tf.distribute.get_strategy()

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    iterators = []
    for cls in (Recorder, OneDevice):
        with strategy.scope():
            model = cls([{"loss": 1.0}])
            model.compile(optimizer="sgd", loss="mse")
        model.fit(*small_arrays(8), batch_size=8, verbose=0)
        iterators.append(model.received[0])
    shared, whole = iterators
    assert isinstance(shared, tf.distribute.DistributedIterator)
    assert isinstance(whole, tf.data.Iterator)


def test_the_history_is_there_before_callbacks_get_the_model() -> None:
    seen = []

    class Look(keras.callbacks.Callback):
        def set_model(self, model: keras.Model) -> None:
            super().set_model(model)
            seen.append(model.history)

    model = small_stock_model()
    returned = [
        model.fit(*small_arrays(8), callbacks=[Look()], verbose=0)
        for _ in range(2)
    ]
    assert seen == returned
    assert seen[0] is not seen[1]


def test_all_callbacks_get_the_model_before_the_training_begins() -> None:
    calls = []

    class Look(keras.callbacks.Callback):
        def set_model(self, model: keras.Model) -> None:
            super().set_model(model)
            calls.append("model")

        def on_train_begin(self, logs: Any = None) -> None:
            calls.append("begin")

    small_stock_model().fit(
        *small_arrays(8), callbacks=[Look(), Look()], verbose=0
    )
    assert calls == ["model", "model", "begin", "begin"]


def test_metrics_keep_a_total_and_a_count_per_replica() -> None:
    asked = []

    def record(next_creator: Callable[..., Any], **kwargs: Any) -> Any:
        asked.append(kwargs.get("synchronization"))
        return next_creator(**kwargs)

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope(), tf.variable_creator_scope(record):
        metric = keras.metrics.Mean()
    assert asked == [tf.VariableSynchronization.ON_READ] * 2
    metric = keras.metrics.Mean()
    metric.update_state([1.0, 3.0])
    assert (float(metric.total), float(metric.count)) == (4.0, 2.0)
    assert (
        keras.metrics.SparseCategoricalAccuracy.result
        is keras.metrics.Mean.result
    )


def test_the_loss_is_the_metric_of_that_name() -> None:
    model = small_stock_model()
    tracker = next(one for one in model.metrics if one.name == "loss")
    assert float(tracker.count) == 0
    model.train_on_batch(*small_arrays(8))
    assert float(tracker.count) > 0


def test_an_optimizer_updates_raw_variables_one_by_one() -> None:
    received = []

    class Look(keras.optimizers.SGD):
        def update_step(
            self, gradient: Any, variable: Any, learning_rate: Any
        ) -> None:
            received.append(variable)
            super().update_step(gradient, variable, learning_rate)

    model = small_stock_model()
    model.compile(optimizer=Look(), loss="mse")
    model.train_on_batch(*small_arrays(8))
    assert len(received) == len(model.trainable_variables)
    for variable in received:
        assert isinstance(variable, tf.Variable)
        assert variable.handle.dtype == tf.resource


def test_slots_are_named_by_the_path_of_their_variable() -> None:
    model = small_stock_model()
    adam = keras.optimizers.Adam()
    adam.build(model.trainable_variables)
    names = {variable.name for variable in adam.variables}
    for variable in model.trainable_variables:
        for slot in ("momentum", "velocity"):
            assert f"{variable.path.replace('/', '_')}_{slot}" in names


def test_automatic_names_are_snake_case_with_a_number() -> None:
    keras.backend.clear_session()
    names = [keras.layers.Conv2D(1, 1).name for _ in range(2)]
    assert names == ["conv2d", "conv2d_1"]
    assert keras.layers.BatchNormalization().name == "batch_normalization"


def test_the_logits_of_a_softmax_are_on_its_output() -> None:
    logits = tf.constant([[400.0, 0.0]])
    probabilities = keras.activations.softmax(logits)
    np.testing.assert_array_equal(probabilities._keras_logits, logits)


def test_a_call_set_on_a_layer_replaces_the_one_of_its_class() -> None:
    layer = keras.layers.Identity()
    layer.call = lambda inputs: inputs + 1.0
    assert float(layer(tf.constant(1.0))) == 2.0
    del layer.call
    assert float(layer(tf.constant(1.0))) == 1.0


def test_safe_mode_shows_in_whether_a_lambda_is_loaded() -> None:
    saved = keras.saving.serialize_keras_object(
        keras.layers.Lambda(lambda x: x)
    )
    load = keras.saving.deserialize_keras_object
    with pytest.raises(ValueError, match="safe_mode"):
        load(saved)
    loaded = load(saved, safe_mode=False)
    assert float(loaded(tf.constant(2.0))) == 2.0


def test_a_layer_may_be_made_without_its_own_init() -> None:
    class Fixed(keras.layers.Layer):
        def __init__(self) -> None:
            raise AssertionError

    layer = Fixed.__new__(Fixed)
    keras.layers.Layer.__init__(layer, name="fixed")
    assert layer.name == "fixed"


def test_a_keras_file_is_a_zip_that_may_hold_one_member_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.keras"
    model = small_stock_model()
    model.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        assert "model.weights.h5" in archive.namelist()
        archive.writestr("more.json", "{}")
    loaded = keras.saving.load_model(path)
    for one, other in zip(
        model.get_weights(), loaded.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_functional_model_may_be_of_a_class_made_by_type() -> None:
    class Mine(keras.Model):
        pass

    # A functional model of keras.Model itself shows the class that Keras uses.
    point = keras.Input(())
    functional = type(keras.Model(point, keras.layers.Identity()(point)))
    made = type("Mine", (Mine, functional), {"__module__": Mine.__module__})
    inputs = keras.Input((4,))
    model = made(inputs, keras.layers.Dense(3)(inputs))
    assert isinstance(model, Mine)
    assert model(small_arrays(2)[0]).shape == (2, 3)


def compiled_model(**kwargs: Any) -> keras.Model:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(inputs))
    model.compile("sgd", "sparse_categorical_crossentropy", **kwargs)
    return model


def test_fit_calls_the_train_function_that_a_callback_sets() -> None:
    calls = []

    class Replace(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            own = self.model.train_function

            def function(iterator: Any) -> Any:
                calls.append(1)
                return own(iterator)

            self.model.train_function = function

    model = compiled_model()
    x, y = np.ones((8, 4)), np.zeros(8)
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[Replace()])
    assert len(calls) == 2


def test_logs_with_more_names_reach_every_callback() -> None:
    seen: list[Any] = []

    class Add(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            own = self.model.train_function
            self.model.train_function = lambda iterator: {
                **own(iterator),
                "more": 2.0,
            }

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(logs["more"])

    history = compiled_model().fit(
        np.ones((8, 4)), np.zeros(8), verbose=0, callbacks=[Add()]
    )
    assert seen == [2.0]
    assert history.history["more"] == [2.0]
    assert "loss" in history.history


def test_the_metrics_of_compile_are_chosen_anew() -> None:
    model = compiled_model(metrics=["accuracy"])
    (unbuilt,) = [m for m in model.metrics if not getattr(m, "built", True)]
    model.evaluate(np.ones((8, 4)), np.zeros(8), verbose=0)
    assert unbuilt.built
    (first,) = unbuilt.metrics
    assert isinstance(first, keras.metrics.SparseCategoricalAccuracy)
    unbuilt.built = False
    unbuilt.update_state(np.eye(3)[[0, 1]], np.eye(3)[[0, 1]])
    (second,) = unbuilt.metrics
    assert isinstance(second, keras.metrics.CategoricalAccuracy)


def test_the_metrics_of_compile_are_built_by_shapes_alone() -> None:
    model = compiled_model(metrics=["accuracy"])
    (unbuilt,) = [m for m in model.metrics if not getattr(m, "built", True)]
    unbuilt.build(keras.KerasTensor((None,)), model.output)
    (chosen,) = unbuilt.metrics
    assert isinstance(chosen, keras.metrics.SparseCategoricalAccuracy)
    assert chosen.variables


def test_the_mask_is_on_the_outputs() -> None:
    outputs = keras.layers.Embedding(4, 3, mask_zero=True)(np.array([[0, 1]]))
    assert outputs._keras_mask.numpy().tolist() == [[False, True]]


def test_stock_callbacks_count_in_attributes() -> None:
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, min_delta=9)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=9, min_delta=9)
    compiled_model().fit(
        np.ones((8, 4)),
        np.zeros(8),
        epochs=3,
        verbose=0,
        callbacks=[stopping, plateau],
    )
    assert (stopping.wait, stopping.stopped_epoch) == (2, 0)
    assert (plateau.wait, plateau.cooldown_counter) == (2, 0)
    assert stopping.best_epoch == 0
    assert stopping.best == plateau.best
    assert stopping.best_weights is None
    checkpoint = keras.callbacks.ModelCheckpoint("a.keras", monitor="loss")
    assert hasattr(checkpoint, "best")
    assert checkpoint._batches_seen_since_last_saving == 0
    assert checkpoint._last_batch_seen in (None, 0)


def test_the_history_is_the_last_callback_to_begin() -> None:
    heard = []

    class Note(keras.callbacks.Callback):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def set_model(self, model: keras.Model) -> None:
            super().set_model(model)
            begin = model.history.on_train_begin

            def note(logs: Any = None) -> None:
                del model.history.on_train_begin
                heard.append("history")
                begin(logs)

            if self.name == "first":
                model.history.on_train_begin = note

        def on_train_begin(self, logs: Any = None) -> None:
            heard.append(self.name)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            heard.append(f"epoch of {self.name}")

    small_stock_model().fit(
        *small_arrays(), callbacks=[Note("first"), Note("second")], verbose=0
    )
    assert heard[:3] == ["first", "second", "history"]
    assert heard[3:] == ["epoch of first", "epoch of second"]


def test_averages_are_in_the_model_by_an_attribute() -> None:
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    seen = []

    class Note(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(swap._ema_weights_in_model)

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(swap._ema_weights_in_model)

    model = small_stock_model()
    model.compile(keras.optimizers.SGD(use_ema=True), "mse")
    model.fit(*small_arrays(), epochs=2, callbacks=[swap, Note()], verbose=0)
    assert seen == [False, True, False, True]


def test_a_function_shows_the_generator_that_it_draws_from() -> None:
    keras.utils.set_random_seed(1)
    draw = tf.function(lambda: keras.random.uniform(()), autograph=False)
    (state,) = draw.get_concrete_function().variables
    before = state.numpy()
    keras.random.normal((2,))
    assert not np.array_equal(state.numpy(), before)
    state.assign(before)
    first = keras.random.normal((2,)).numpy()
    state.assign(before)
    np.testing.assert_array_equal(keras.random.normal((2,)).numpy(), first)


def test_a_stateful_layer_has_its_states_in_an_attribute() -> None:
    inputs = keras.Input(batch_shape=(2, 3, 4))
    layer = keras.layers.LSTM(5, stateful=True)
    model = keras.Model(inputs, layer(inputs))
    assert len(layer.states) == 2
    known = {id(variable) for variable in model.variables}
    assert not known & {id(state) for state in layer.states}


def test_compile_keeps_the_mean_of_the_loss_in_a_new_attribute() -> None:
    model = small_stock_model()
    for _ in range(2):
        before = list(vars(model).values())
        model.compile("sgd", "mse")
        new = [
            value
            for value in vars(model).values()
            if not any(value is old for old in before)
        ]
        means = [one for one in new if isinstance(one, keras.metrics.Mean)]
        assert [mean.name for mean in means] == ["loss"]


def test_the_logs_are_replaced_by_metrics_of_the_same_names() -> None:
    class Own(keras.Model):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.mean = keras.metrics.Mean(name="loss")

        @property
        def metrics(self) -> list[keras.metrics.Metric]:
            return [self.mean]

        def train_step(self, data: Any) -> dict[str, Any]:
            self.mean.update_state(5.0)
            return {"loss": 1.0, **self.more}

    inputs = keras.Input((4,))
    for more, expected in (({}, 5.0), ({"other": 2.0}, 1.0)):
        model = Own(inputs, keras.layers.Dense(3)(inputs))
        model.more = more
        model.compile("sgd")
        history = model.fit(*small_arrays(), verbose=0).history
        assert history["loss"] == [expected]


def test_the_loss_of_an_output_counts_as_the_static_batch_size() -> None:
    x, _ = small_arrays(3)
    y = np.float32([[0.0], [0.0], [9.0]])
    inputs = keras.Input((4,))
    outputs = [
        keras.layers.Dense(1, kernel_initializer="zeros", name=name)(inputs)
        for name in "pq"
    ]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"])
    found = []
    for static in (True, False):
        options = {} if static else {"reduce_retracing": True}
        step = tf.function(model.test_step, autograph=False, **options)
        if not static:
            step((x[:1], [y[:1], y[:1]]))  # Other sizes are traced as any.
            step((x[:3], [y[:3], y[:3]]))
        model.reset_metrics()
        for part in (slice(0, 2), slice(2, 3)):
            step((x[part], [y[part], y[part]]))
        found.append(float(model.get_metrics_result()["p_loss"]))
    assert found == pytest.approx([27.0, 40.5])


def test_float8_overwrites_variables_by_their_gradients() -> None:
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    assert not layer.kernel.overwrite_with_gradient
    layer.quantize("float8")
    assert layer.inputs_scale.overwrite_with_gradient
