"""Early stopping, driven by scripted evaluations through a real `fit`."""

import math
from typing import Any

from absl import logging
import pytest

from keras_port.callbacks import EvaluationListener
from keras_port.callbacks import StepCheckpoint
from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from tests.callbacks.scripted import ScriptedEvaluation
from tests.callbacks.scripted import StopAt
from tests.callbacks.scripted import WeightsAt
from tests.small import same_weights
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train


@pytest.mark.fault("B02")
@pytest.mark.parametrize("stop", [None, 350])
@pytest.mark.parametrize("first", ["evaluation", "stopping"])
def test_best_weights_come_back_for_every_end(
    stop: int | None, first: str
) -> None:
    model = small_model()
    weights = WeightsAt(300)
    callbacks: list[Any] = [
        ScriptedEvaluation([0.5, 0.6, 0.7, 0.65]),
        StepEarlyStopping(patience=10),
        weights,
    ]
    if first == "stopping":
        callbacks.reverse()
    if stop is not None:
        callbacks.append(StopAt(stop))
    train(model, callbacks, steps=400)
    assert int(model.optimizer.iterations) == (stop or 400)
    assert same_weights(model.get_weights(), weights.weights[300])


def test_without_restoring_the_last_weights_stay() -> None:
    model = small_model()
    weights = WeightsAt(400)
    stopping = StepEarlyStopping(restore_best_weights=False)
    train(model, [ScriptedEvaluation([0.5, 0.6, 0.7, 0.6]), stopping, weights])
    assert same_weights(model.get_weights(), weights.weights[400])
    assert (stopping.best, stopping.best_step) == (0.7, 300)


@pytest.mark.fault("B03")
def test_nan_first_is_not_the_best_for_ever() -> None:
    stopping = StepEarlyStopping(monitor="val_loss", patience=2)
    values = [math.nan, 0.5, 0.4, 0.3]
    train(
        small_model(),
        [ScriptedEvaluation(values, monitor="val_loss"), stopping],
    )
    assert (stopping.best, stopping.best_step) == (0.3, 400)
    assert stopping.stopped_step is None


@pytest.mark.fault("B03")
def test_nan_later_counts_as_no_improvement() -> None:
    stopping = StepEarlyStopping(monitor="val_loss", patience=2)
    weights = WeightsAt(100)
    model = small_model()
    values = [0.5, math.nan, math.nan, 0.1]
    script = ScriptedEvaluation(values, monitor="val_loss")
    train(model, [script, stopping, weights])
    assert stopping.stopped_step == 300
    assert same_weights(model.get_weights(), weights.weights[100])


@pytest.mark.fault("B03")
def test_state_survives_a_stop_by_nan() -> None:
    stopping = StepEarlyStopping(monitor="val_loss", patience=1)
    script = ScriptedEvaluation([0.5, math.nan], monitor="val_loss")
    train(small_model(), [script, stopping])
    other = StepEarlyStopping(monitor="val_loss", patience=1)
    other.set_state(stopping.get_state())
    assert (other.best, other.best_step, other.stopped_step) == (0.5, 100, 200)


@pytest.mark.fault("B04")
def test_an_unclear_direction_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match='mode="max"'):
        StepEarlyStopping(monitor="f1")


@pytest.mark.fault("B05")
@pytest.mark.parametrize("best", [1, 3])
def test_patience_20_stops_at_the_20th_miss_exactly(best: int) -> None:
    stopping = StepEarlyStopping(patience=20)
    values = [0.1 * k for k in range(1, best + 1)] + [0.05] * 30
    script = ScriptedEvaluation(values, eval_freq=2)
    train(small_model(), [script, stopping], steps=100)
    assert stopping.best_step == 2 * best
    assert stopping.stopped_step == 2 * (best + 20)
    assert script.published[-1] == 2 * (best + 20)


@pytest.mark.fault("B05")
def test_an_equal_value_is_a_miss() -> None:
    stopping = StepEarlyStopping(patience=2)
    script = ScriptedEvaluation([0.5, 0.5, 0.5, 0.9], eval_freq=2)
    train(small_model(), [script, stopping], steps=10)
    assert stopping.stopped_step == 6


@pytest.mark.fault("B05")
def test_patience_0_never_stops_steady_improvement() -> None:
    stopping = StepEarlyStopping(patience=0)
    script = ScriptedEvaluation([0.1, 0.2, 0.3, 0.4, 0.3], eval_freq=2)
    train(small_model(), [script, stopping], steps=20)
    assert stopping.stopped_step == 10


@pytest.mark.fault("B05")
@pytest.mark.parametrize("patience", [-1, 2.5])
def test_wrong_patience_is_refused(patience: Any) -> None:
    with pytest.raises(ValueError, match="`patience`"):
        StepEarlyStopping(patience=patience)


@pytest.mark.fault("B06")
def test_a_baseline_never_reached_stops_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages: list[str] = []
    monkeypatch.setattr(
        logging, "warning", lambda text, *args: messages.append(text % args)
    )
    stopping = StepEarlyStopping(patience=3, baseline=0.99)
    weights = WeightsAt(200)
    model = small_model()
    train(
        model, [ScriptedEvaluation([0.9, 0.95, 0.94, 0.9]), stopping, weights]
    )
    assert stopping.stopped_step == 300
    assert (stopping.best, stopping.best_step) == (0.95, 200)
    assert same_weights(model.get_weights(), weights.weights[200])
    assert "baseline val_accuracy=0.99" in messages[0]
    assert "0.95 at step 200" in messages[0]


@pytest.mark.fault("B06")
def test_above_the_baseline_patience_starts_anew() -> None:
    stopping = StepEarlyStopping(patience=2, baseline=0.5)
    script = ScriptedEvaluation([0.4, 0.6, 0.5, 0.7, 0.6, 0.6], eval_freq=2)
    train(small_model(), [script, stopping], steps=20)
    assert stopping.stopped_step == 12


@pytest.mark.fault("B07")
def test_one_object_in_three_fits_starts_anew_each_time() -> None:
    stopping = StepEarlyStopping(patience=2)
    ends = []
    for _ in range(3):
        model = small_model()
        script = ScriptedEvaluation([0.9, 0.5, 0.5, 0.95], eval_freq=5)
        train(model, [script, stopping], steps=40)
        ends.append(int(model.optimizer.iterations))
    assert ends == [15, 15, 15]


@pytest.mark.fault("B10")
@pytest.mark.parametrize("listener", [StepEarlyStopping, StepCheckpoint])
@pytest.mark.parametrize("evaluation_first", [True, False])
def test_a_misspelt_result_is_an_error_before_the_first_step(
    listener: type[EvaluationListener], evaluation_first: bool, tmp_path: Any
) -> None:
    options: dict[str, Any] = {"monitor": "val_acc"}
    if listener is StepCheckpoint:
        options["path"] = tmp_path / "model.keras"
    callbacks = [StepEvaluation(small_arrays()), listener(**options)]
    if not evaluation_first:
        callbacks.reverse()
    model = small_model()
    with pytest.raises(ValueError, match=r"'val_acc'.*val_accuracy, val_loss"):
        train(model, callbacks)
    assert int(model.optimizer.iterations) == 0


def test_no_evaluation_at_all_is_an_error_before_the_first_step() -> None:
    model = small_model()
    with pytest.raises(ValueError, match=r"(?s)StepEvaluation.*any order"):
        train(model, [StepEarlyStopping()])
    assert int(model.optimizer.iterations) == 0


def test_a_failed_fit_leaves_nothing_to_the_next() -> None:
    model = small_model()

    class Fails(StopAt):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        train(model, [ScriptedEvaluation([0.5]), Fails(1)])
    # The evaluation of the failed `fit` must not count for this one.
    with pytest.raises(ValueError, match="no `StepEvaluation`"):
        train(model, [StepEarlyStopping()])
