"""Callbacks whose evaluations and stops are a script."""

from collections.abc import Sequence
import threading
from typing import Any

import keras
import numpy as np

from keras_port.callbacks.evaluation_listener import get_channel


class ScriptedEvaluation(keras.callbacks.Callback):
    """Publishes the values of a list as a `StepEvaluation` would."""

    def __init__(
        self,
        values: Sequence[float],
        *,
        eval_freq: int = 100,
        monitor: str = "val_accuracy",
    ) -> None:
        super().__init__()
        self.values = list(values)
        self.eval_freq = eval_freq
        self.name_of_result = monitor
        self.prefix = "val"
        self.published: list[int] = []

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        get_channel(model).sources.append(self)

    def on_train_begin(self, logs: Any = None) -> None:
        self.published = []
        get_channel(self.model).announce("val", [self.name_of_result])

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = int(self.model.optimizer.iterations)
        rank, rest = divmod(step, self.eval_freq)
        if rest == 0 and rank <= len(self.values):
            self.published.append(step)
            logs = {self.name_of_result: self.values[rank - 1]}
            get_channel(self.model).publish(step, logs)


def wait_for_snapshots() -> None:
    """Waits until the snapshots taken so far are written.

    They are written in the background. A test that counts on one of them
    before the training ends waits here: a busy machine may be steps late.
    """
    for thread in threading.enumerate():
        if thread.name == "keras_port writer":
            thread.join()


class StopAt(keras.callbacks.Callback):
    """Stops the training at a step, as somebody else's callback might."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if int(self.model.optimizer.iterations) >= self.step:
            self.model.stop_training = True


class WeightsAt(keras.callbacks.Callback):
    """Notes the weights at the end of some steps."""

    def __init__(self, *steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.weights: dict[int, list[np.ndarray]] = {}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        step = int(self.model.optimizer.iterations)
        if step in self.steps:
            self.weights[step] = self.model.get_weights()
