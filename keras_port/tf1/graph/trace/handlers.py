"""What traces every operation that TensorFlow does not import."""

from keras_port.tf1.graph.trace import arrays
from keras_port.tf1.graph.trace import calls
from keras_port.tf1.graph.trace import conditions
from keras_port.tf1.graph.trace import loops
from keras_port.tf1.graph.trace import tables
from keras_port.tf1.graph.trace import variables
from keras_port.tf1.graph.trace.tracer import Handler

HANDLERS: dict[str, Handler] = {
    **variables.HANDLERS,
    **arrays.HANDLERS,
    **calls.HANDLERS,
    **conditions.HANDLERS,
    **loops.HANDLERS,
    **tables.HANDLERS,
}
