"""One training step, decomposed, and an evaluation that disturbs nothing."""

from keras_port.training.gradient_model import GradientModel
from keras_port.training.gradient_result import GradientResult
from keras_port.training.model_evaluation import ModelEvaluation
from keras_port.training.workers import writes_files

__all__ = [
    "GradientModel",
    "GradientResult",
    "ModelEvaluation",
    "writes_files",
]
