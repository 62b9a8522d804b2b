"""Shows the graph of a model, and a page that draws, in any browser."""

from keras_port.inspection.clean_graph import clean_graph_def
from keras_port.inspection.drawing_page import write_drawing_page
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
    "write_drawing_page",
]
