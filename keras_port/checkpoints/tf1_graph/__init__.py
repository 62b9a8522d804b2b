"""TensorFlow 1 graphs as trainable Keras layers."""

from keras_port.checkpoints.tf1_graph.layer import TF1Graph
from keras_port.checkpoints.tf1_graph.listing import TF1GraphListing
from keras_port.checkpoints.tf1_graph.listing import list_tf1_graph

__all__ = ["TF1Graph", "TF1GraphListing", "list_tf1_graph"]
