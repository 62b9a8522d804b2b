"""The callbacks on models and in programs that are not this package's."""

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import callbacks
from keras_port import training
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
