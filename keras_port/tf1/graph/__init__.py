"""TensorFlow 1 graphs as trainable Keras layers."""

from keras_port.tf1.graph.layer import GraphLayer
from keras_port.tf1.graph.listing import GraphReport
from keras_port.tf1.graph.listing import list_graph

__all__ = ["GraphLayer", "GraphReport", "list_graph"]
