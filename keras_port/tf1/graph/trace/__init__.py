"""Traces a TensorFlow 1 graph as a function of its variables' values.

The last of the four stages. It is imported only when a layer is built.
"""

from keras_port.tf1.graph.trace.handlers import HANDLERS as HANDLERS
from keras_port.tf1.graph.trace.tracer import Tracer as Tracer
from keras_port.tf1.graph.trace.values import Environment as Environment
from keras_port.tf1.graph.trace.values import State as State
from keras_port.tf1.graph.trace.values import as_tensor as as_tensor

__all__: list[str] = []
