"""Selects the part of a graph that a layer runs, and refuses what it must not.

It only looks at operations, and runs none. Whatever is handed to TensorFlow
passes `gate.py`.
"""

from keras_port.tf1.graph.select.gate import (
    import_operations as import_operations,
)
from keras_port.tf1.graph.select.inputs import (
    find_sparse_names as find_sparse_names,
)
from keras_port.tf1.graph.select.inputs import list_data as list_data
from keras_port.tf1.graph.select.inputs import list_settings as list_settings
from keras_port.tf1.graph.select.inputs import list_switches as list_switches
from keras_port.tf1.graph.select.outputs import guess_outputs as guess_outputs
from keras_port.tf1.graph.select.refusals import Refusal as Refusal
from keras_port.tf1.graph.select.refusals import (
    find_custom_gradients as find_custom_gradients,
)
from keras_port.tf1.graph.select.refusals import find_refusals as find_refusals
from keras_port.tf1.graph.select.refusals import (
    raise_if_refused as raise_if_refused,
)
from keras_port.tf1.graph.select.shapes import infer_specs as infer_specs
from keras_port.tf1.graph.select.subgraph import drop_devices as drop_devices
from keras_port.tf1.graph.select.subgraph import (
    find_functions as find_functions,
)
from keras_port.tf1.graph.select.subgraph import find_needed as find_needed
from keras_port.tf1.graph.select.subgraph import find_parts as find_parts
from keras_port.tf1.graph.select.subgraph import prune_graph as prune_graph
from keras_port.tf1.graph.select.subgraph import (
    shape_as_tuple as shape_as_tuple,
)
from keras_port.tf1.graph.select.updates import (
    AssignedVariables as AssignedVariables,
)
from keras_port.tf1.graph.select.updates import (
    find_updates_and_losses as find_updates_and_losses,
)
from keras_port.tf1.graph.select.updates import find_writers as find_writers

__all__: list[str] = []
