"""TensorFlow 1 checkpoints and graphs in Keras 3, and back."""

from keras_port.tf1.checkpoint import CheckpointVariable
from keras_port.tf1.checkpoint import ExportReport
from keras_port.tf1.checkpoint import LoadReport
from keras_port.tf1.checkpoint import list_variables
from keras_port.tf1.checkpoint import load_checkpoint
from keras_port.tf1.checkpoint import save_checkpoint
from keras_port.tf1.graph import GraphLayer
from keras_port.tf1.graph import GraphReport
from keras_port.tf1.graph import Phase
from keras_port.tf1.graph import list_graph

__all__ = [
    "CheckpointVariable",
    "ExportReport",
    "GraphLayer",
    "GraphReport",
    "LoadReport",
    "Phase",
    "list_graph",
    "list_variables",
    "load_checkpoint",
    "save_checkpoint",
]
