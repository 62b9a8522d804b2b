"""TensorFlow 1 graphs as trainable Keras layers."""

from keras_port.tf1.graph.constants import Phase
from keras_port.tf1.graph.layer import GraphLayer
from keras_port.tf1.graph.report import GraphReport
from keras_port.tf1.graph.report import list_graph

__all__ = ["GraphLayer", "GraphReport", "Phase", "list_graph"]
