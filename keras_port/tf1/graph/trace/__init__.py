"""Traces a graph as a function of the values of its variables."""

from keras_port.tf1.graph.trace import arrays as arrays
from keras_port.tf1.graph.trace import calls as calls
from keras_port.tf1.graph.trace import conditions as conditions
from keras_port.tf1.graph.trace import loops as loops
from keras_port.tf1.graph.trace import variables as variables
from keras_port.tf1.graph.trace.tracer import Emitter as Emitter
from keras_port.tf1.graph.trace.tracer import Handler as Handler
from keras_port.tf1.graph.trace.values import Environment as Environment
from keras_port.tf1.graph.trace.values import State as State
from keras_port.tf1.graph.trace.values import as_tensor as as_tensor

__all__: list[str] = []
