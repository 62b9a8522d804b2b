"""Evaluation by the step inside a real `fit`."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_port.callbacks import EvaluationListener
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
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
