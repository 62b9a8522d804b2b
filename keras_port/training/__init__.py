"""One training step, decomposed, and an evaluation that disturbs nothing."""

from keras_port.training.evaluator import Evaluator
from keras_port.training.gradient_model import GradientModel
from keras_port.training.gradient_result import GradientResult
from keras_port.training.workers import is_chief

__all__ = [
    "Evaluator",
    "GradientModel",
    "GradientResult",
    "is_chief",
]
