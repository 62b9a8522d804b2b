"""Callbacks of `fit` that act between steps.

A module without an underscore holds one public callback.
"""

from keras_port.callbacks._steps import get_step as get_step
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.step_checkpoint import StepCheckpoint
from keras_port.callbacks.step_early_stopping import StepEarlyStopping
from keras_port.callbacks.step_evaluation import StepEvaluation
from keras_port.callbacks.step_progress import StepProgress
from keras_port.callbacks.tensorboard import TensorBoard
from keras_port.callbacks.terminate_on_signal import TerminateOnSignal
from keras_port.callbacks.training_state import TrainingState

__all__ = [
    "EvaluationListener",
    "StepCheckpoint",
    "StepEarlyStopping",
    "StepEvaluation",
    "StepProgress",
    "TensorBoard",
    "TerminateOnSignal",
    "TrainingState",
]
