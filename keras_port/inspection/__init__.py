"""Shows the computational graph of a model, without TensorBoard."""

from keras_port.inspection.clean_graph import clean_graph_def
from keras_port.inspection.model_graph import ModelGraph
from keras_port.inspection.model_graph import graph
from keras_port.inspection.records import GraphOperation
from keras_port.inspection.records import GraphTensor
from keras_port.inspection.records import GraphVariable

__all__ = [
    "GraphOperation",
    "GraphTensor",
    "GraphVariable",
    "ModelGraph",
    "clean_graph_def",
    "graph",
]
