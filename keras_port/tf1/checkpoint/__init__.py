"""TensorFlow 1 checkpoints to Keras weights, and back."""

from keras_port.tf1.checkpoint.export import ExportReport
from keras_port.tf1.checkpoint.loading import load_checkpoint
from keras_port.tf1.checkpoint.report import LoadReport
from keras_port.tf1.checkpoint.saving import save_checkpoint
from keras_port.tf1.checkpoint.variables import CheckpointVariable
from keras_port.tf1.checkpoint.variables import list_variables

__all__ = [
    "CheckpointVariable",
    "ExportReport",
    "LoadReport",
    "list_variables",
    "load_checkpoint",
    "save_checkpoint",
]
