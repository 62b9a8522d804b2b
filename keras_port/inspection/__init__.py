"""The computational graph without TensorBoard: names, values, one page."""

from keras_port.inspection.clean_graph import CleanGraph
from keras_port.inspection.clean_graph import clean_graph
from keras_port.inspection.clean_graph import clean_graph_def

__all__ = ["CleanGraph", "clean_graph", "clean_graph_def"]
