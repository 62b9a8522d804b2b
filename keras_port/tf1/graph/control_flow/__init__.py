"""Finds conditions and loops, and the order in which a graph is traced.

It only looks at operations. `trace` builds them.
"""

from keras_port.tf1.graph.control_flow.array_flows import (
    find_flow_copies as find_flow_copies,
)
from keras_port.tf1.graph.control_flow.schedule import Unit as Unit
from keras_port.tf1.graph.control_flow.schedule import find_units as find_units
from keras_port.tf1.graph.control_flow.schedule import (
    order_units as order_units,
)
from keras_port.tf1.graph.control_flow.structure import (
    ControlFlow as ControlFlow,
)
from keras_port.tf1.graph.control_flow.structure import (
    LoopVariable as LoopVariable,
)

__all__: list[str] = []
