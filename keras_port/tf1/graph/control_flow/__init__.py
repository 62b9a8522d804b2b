"""Recovers conditions and loops from TensorFlow 1's control flow."""

from keras_port.tf1.graph.control_flow.array_flows import (
    flow_copies as flow_copies,
)
from keras_port.tf1.graph.control_flow.recovery import (
    ControlFlow as ControlFlow,
)
from keras_port.tf1.graph.control_flow.schedule import in_order as in_order
from keras_port.tf1.graph.control_flow.slices import Unit as Unit
from keras_port.tf1.graph.control_flow.slices import needed as needed
from keras_port.tf1.graph.control_flow.structures import (
    LoopVariable as LoopVariable,
)

__all__: list[str] = []
