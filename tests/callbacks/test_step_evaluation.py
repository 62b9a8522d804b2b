"""Evaluation by the step inside a real `fit`."""

import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port.callbacks import EvaluationListener
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.training import GradientModel
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_batches
from tests.small import small_model
from tests.small import train


class Listens(EvaluationListener):
    """Notes what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.heard: list[tuple[int, dict[str, float]]] = []

    def on_evaluation_names(self, names: list[str]) -> None:
        self.names = names

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        self.heard.append((step, logs))


@pytest.mark.fault("B01")
def test_one_epoch_has_an_evaluation_each_100_steps() -> None:
    model = small_model()
    history = train(model, [StepEvaluation(small_arrays())], steps=350).history
    assert history["val_step"] == [100, 200, 300]
    assert len(history["val_accuracy"]) == len(history["val_loss"]) == 3
    assert len(history["loss"]) == 1


@pytest.mark.fault("B01")
@pytest.mark.fault("B39")
def test_training_is_as_without_evaluation() -> None:
    def run(callbacks: list[Any]) -> tuple[dict[str, Any], list[np.ndarray]]:
        model = small_model(optimizer="adam")
        history = train(model, callbacks, steps=60, epochs=3).history
        return history, model.get_weights()

    plain, plain_weights = run([])
    evaluated, weights = run([StepEvaluation(small_arrays(9), eval_freq=7)])
    assert evaluated["loss"] == plain["loss"]
    assert evaluated["accuracy"] == plain["accuracy"]
    assert same_weights(weights, plain_weights)
    assert evaluated["val_step"] == list(range(7, 181, 7))


@pytest.mark.fault("B39")
def test_stock_evaluate_in_a_callback_spoils_the_training_metrics() -> None:
    class Evaluates(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch % 7 == 6:
                self.model.evaluate(*small_arrays(9), verbose=0)

    plain = train(small_model(), [], steps=60).history
    spoilt = train(small_model(), [Evaluates()], steps=60).history
    assert spoilt["loss"] != plain["loss"]


def test_the_values_are_those_of_evaluate() -> None:
    model = small_model()
    history = train(model, [StepEvaluation(small_arrays())], steps=100).history
    expected = model.evaluate(*small_arrays(), verbose=0, return_dict=True)
    assert history["val_loss"] == [pytest.approx(expected["loss"], rel=1e-6)]
    assert history["val_accuracy"] == [expected["accuracy"]]


@pytest.mark.parametrize("per_execution", [1, 7, 50])
def test_steps_are_true_with_steps_per_execution(per_execution: int) -> None:
    model = small_model(steps_per_execution=per_execution)
    listener = Listens()
    evaluation = StepEvaluation(small_arrays(), eval_freq=100)
    train(model, [listener, evaluation], steps=350)
    steps = [step for step, _ in listener.heard]
    first = -(-100 // per_execution) * per_execution
    assert steps[0] == first
    assert len(steps) == 3
    assert all(step % per_execution == 0 for step in steps)


def test_a_second_fit_goes_on_counting() -> None:
    model = small_model()
    evaluation = StepEvaluation(small_arrays(), eval_freq=20)
    first = train(model, [evaluation], steps=30).history
    second = train(model, [evaluation], steps=30).history
    assert first["val_step"] == [20]
    assert second["val_step"] == [40, 60]


def test_accumulated_gradients_count_as_one_step() -> None:
    model = small_model(gradient_accumulation_steps=3)
    evaluation = StepEvaluation(small_arrays(), eval_freq=2)
    assert train(model, [evaluation], steps=15).history["val_step"] == [2, 4]


@pytest.mark.parametrize("evaluation_first", [True, False])
def test_listeners_hear_in_any_order(evaluation_first: bool) -> None:
    listener = Listens()
    callbacks: list[Any] = [StepEvaluation(small_arrays()), listener]
    if not evaluation_first:
        callbacks.reverse()
    train(small_model(), callbacks, steps=200)
    assert sorted(listener.names) == ["val_accuracy", "val_loss"]
    assert [step for step, _ in listener.heard] == [100, 200]
    assert sorted(listener.heard[0][1]) == ["val_accuracy", "val_loss"]


def test_two_evaluations_have_two_names() -> None:
    listener = Listens()
    stopping = StepEarlyStopping(monitor="test_accuracy", patience=50)
    history = train(
        small_model(),
        [
            stopping,
            StepEvaluation(small_arrays(), eval_freq=20),
            listener,
            StepEvaluation(small_arrays(8), eval_freq=50, prefix="test"),
        ],
        steps=100,
    ).history
    assert history["val_step"] == [20, 40, 60, 80, 100]
    assert history["test_step"] == [50, 100]
    assert stopping.best_step in (50, 100)
    assert len(listener.names) == 4


def test_two_evaluations_of_one_prefix_are_refused() -> None:
    evaluations = [StepEvaluation(small_arrays()) for _ in range(2)]
    with pytest.raises(ValueError, match="have the prefix 'val'"):
        train(small_model(), evaluations)


def test_validation_by_fit_under_the_same_names_is_refused() -> None:
    arguments = {"steps": 2, "validation_data": small_arrays()}
    with pytest.raises(ValueError, match=r"StepEvaluation.*prefix="):
        train(small_model(), [StepEvaluation(small_arrays())], **arguments)
    named = StepEvaluation(small_arrays(), eval_freq=1, prefix="step_val")
    history = train(small_model(), [named], **arguments).history
    assert len(history["val_loss"]) == 1
    assert len(history["step_val_loss"]) == 2


def test_stock_callbacks_see_the_newest_results_at_the_epochs_end() -> None:
    seen: list[dict[str, float]] = []
    history = train(
        small_model(),
        [
            StepEvaluation(small_arrays(), eval_freq=20),
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda _, logs: seen.append(dict(logs))
            ),
            keras.callbacks.ReduceLROnPlateau(monitor="val_loss"),
        ],
        steps=50,
        epochs=2,
    ).history
    assert [logs["val_loss"] for logs in seen] == [
        history["val_loss"][1],
        history["val_loss"][4],
    ]
    assert history["val_step"] == [20, 40, 60, 80, 100]
    assert len(history["loss"]) == 2


def test_it_works_with_a_stock_model_that_is_not_built_yet() -> None:
    model = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    model.compile(
        "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    history = model.fit(
        small_batches(),
        steps_per_epoch=40,
        shuffle=False,
        callbacks=[
            StepEarlyStopping(),
            StepEvaluation(small_arrays(), eval_freq=20),
        ],
        verbose=0,
    ).history
    assert history["val_step"] == [20, 40]


@pytest.mark.parametrize("eval_freq", [0, -1, 2.0])
def test_wrong_eval_freq_is_refused(eval_freq: Any) -> None:
    with pytest.raises(ValueError, match="`eval_freq`"):
        StepEvaluation(small_arrays(), eval_freq=eval_freq)


@pytest.mark.parametrize("batch_size", [0, True, 2.5])
def test_wrong_batch_size_is_refused(batch_size: Any) -> None:
    with pytest.raises(ValueError, match="`batch_size`"):
        StepEvaluation(small_arrays(), batch_size=batch_size)


def test_integers_of_numpy_are_welcome() -> None:
    evaluation = StepEvaluation(small_arrays(), eval_freq=np.int64(20))
    assert train(small_model(), [evaluation], steps=20).history["val_step"] == [
        20
    ]


def test_evaluating_before_fit_is_an_error_that_says_so() -> None:
    with pytest.raises(RuntimeError, match="`fit` has not started"):
        StepEvaluation(small_arrays()).evaluate()


@pytest.mark.fault("B49")
def test_bad_labels_of_the_evaluation_are_refused_before_training() -> None:
    x, y = small_arrays()
    model = small_model()
    with pytest.raises(ValueError, match="label 7 at position 5"):
        train(model, [StepEvaluation((x, np.where(np.arange(48) == 5, 7, y)))])
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("base", [keras.Model, GradientModel])
@pytest.mark.parametrize("eval_freq", [2, 8])
@pytest.mark.parametrize("validates", [False, True])
def test_the_loss_of_the_training_is_as_without(
    base: Any, eval_freq: int, validates: bool
) -> None:
    """Also of a step that returns another value than its mean."""

    class Own(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mean = keras.metrics.Mean(name="loss")

        @property
        def metrics(self) -> list[keras.metrics.Metric]:
            return [self.mean]

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            weights = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            self.mean.update_state(loss)
            return {"loss": loss}

        def test_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            self.mean.update_state(tf.reduce_mean((self(x) - y) ** 2))
            return {"loss": self.mean.result()}

    x, _ = small_arrays(40)
    targets = x[:, :1] + np.arange(40)[:, None] // 30

    class Heard(keras.callbacks.Callback):
        losses: list[float]

        def on_train_begin(self, logs: Any = None) -> None:
            self.losses = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.losses.append(logs["loss"])

    def fit(*more: keras.callbacks.Callback) -> tuple[list[float], list[float]]:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        model = Own(inputs, keras.layers.Dense(1)(inputs))
        model.compile(keras.optimizers.SGD(0.01))
        heard = Heard()
        history = model.fit(
            x,
            targets,
            batch_size=10,
            epochs=2,
            shuffle=False,
            validation_data=(x[:20], targets[:20]) if validates else None,
            callbacks=[*more, heard],
            verbose=0,
        ).history
        return history["loss"], heard.losses

    evaluation = StepEvaluation(
        (x, targets), eval_freq=eval_freq, prefix="step_val"
    )
    assert fit(evaluation) == fit()


@pytest.mark.parametrize("base", [keras.Model, GradientModel])
def test_the_values_of_a_dictionary_have_the_names_of_keras(base: Any) -> None:
    class Extremes(keras.metrics.Metric):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.low = self.add_variable((), "zeros", name="low")

        def update_state(
            self, y: Any, p: Any, sample_weight: Any = None
        ) -> None:
            self.low.assign(tf.reduce_min(p))

        def result(self) -> dict[str, Any]:
            return {"low": self.low.value, "twice": self.low * 2}

    inputs = keras.Input((4,))
    model = base(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", metrics=[Extremes()])
    x, _ = small_arrays(16)
    expected = model.fit(
        x, x[:, :1], validation_data=(x, x[:, :1]), verbose=0
    ).history
    evaluation = StepEvaluation((x, x[:, :1]), eval_freq=1)
    found = model.fit(x, x[:, :1], callbacks=[evaluation], verbose=0).history
    assert set(found) == {*expected, "val_step"}


def test_steps_never_go_back() -> None:
    """As of a WGAN, whose generator is not updated by every batch."""

    class Wgan(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.generator = keras.layers.Dense(4)
            self.critic = keras.layers.Dense(1)
            self.batches = self.add_weight(
                dtype="int32", trainable=False, initializer="zeros"
            )

        def call(self, inputs: Any) -> Any:
            return self.critic(self.generator(inputs))

        def train_step(self, data: Any) -> dict[str, Any]:
            x = data[0]
            self.batches.assign_add(1)
            with tf.GradientTape(persistent=True) as tape:
                loss = tf.reduce_mean(self(x))
            critic = self.critic.trainable_variables
            self.critic_optimizer.apply(tape.gradient(loss, critic), critic)
            generator = self.generator.trainable_variables
            gradients = tape.gradient(loss, generator)

            def update() -> int:
                self.optimizer.apply(gradients, generator)
                return 0

            tf.cond(self.batches % 3 == 0, update, lambda: 0)
            return {"loss": loss}

        def test_step(self, data: Any) -> dict[str, Any]:
            return {"loss": tf.reduce_mean(self(data[0]))}

    model = Wgan()
    x, y = small_arrays(80)
    model(x)
    model.compile(keras.optimizers.SGD(0.01))
    model.critic_optimizer = keras.optimizers.SGD(0.01)
    model.optimizer.build(model.generator.trainable_variables)
    model.critic_optimizer.build(model.critic.trainable_variables)
    history = model.fit(
        x,
        y,
        batch_size=10,
        callbacks=[StepEvaluation((x, y), eval_freq=1)],
        verbose=0,
    ).history
    assert history["val_step"] == list(range(1, 9))


def test_an_optimizer_of_an_earlier_part_counts_no_steps() -> None:
    model = small_model(optimizer="adam")
    train(model, [StepEvaluation(small_arrays(9), eval_freq=10)], steps=20)
    model.warm_up_optimizer = model.optimizer
    model.compile("sgd", "sparse_categorical_crossentropy")
    evaluation = StepEvaluation(small_arrays(9), eval_freq=2)
    history = train(model, [evaluation], steps=6).history
    assert history["val_step"] == [2, 4, 6]


def test_random_numbers_of_python_are_left_alone() -> None:
    def fit(*more: keras.callbacks.Callback) -> float:
        keras.utils.clear_session()
        train(small_model(), more, steps=3)
        return random.random()

    assert fit(StepEvaluation(small_arrays(9), eval_freq=2)) == fit()
