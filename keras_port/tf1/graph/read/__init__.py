"""Reads the files of a TensorFlow 1 graph. The first of four stages.

`read`, `select`, `control_flow`, `trace`: every stage imports only from those
before it.
"""

from keras_port.tf1.graph.read import operations as operations
from keras_port.tf1.graph.read import protos as protos
from keras_port.tf1.graph.read.errors import GRAPH_ERRORS as GRAPH_ERRORS
from keras_port.tf1.graph.read.errors import (
    name_file_in_errors as name_file_in_errors,
)
from keras_port.tf1.graph.read.errors import (
    name_layer_in_errors as name_layer_in_errors,
)
from keras_port.tf1.graph.read.frozen_graph import (
    has_variables as has_variables,
)
from keras_port.tf1.graph.read.frozen_graph import list_weights as list_weights
from keras_port.tf1.graph.read.frozen_graph import (
    make_variables_of_constants as make_variables_of_constants,
)
from keras_port.tf1.graph.read.graph_file import GraphFile as GraphFile
from keras_port.tf1.graph.read.graph_file import PathLike as PathLike
from keras_port.tf1.graph.read.graph_file import (
    read_graph_file as read_graph_file,
)
from keras_port.tf1.graph.read.nodes import Node as Node
from keras_port.tf1.graph.read.nodes import Scope as Scope
from keras_port.tf1.graph.read.nodes import called_functions as called_functions
from keras_port.tf1.graph.read.nodes import (
    find_sparse_parts as find_sparse_parts,
)
from keras_port.tf1.graph.read.nodes import find_tensor as find_tensor
from keras_port.tf1.graph.read.nodes import function_scopes as function_scopes
from keras_port.tf1.graph.read.nodes import graph_scope as graph_scope
from keras_port.tf1.graph.read.nodes import operation_name as operation_name
from keras_port.tf1.graph.read.nodes import suggest_names as suggest_names
from keras_port.tf1.graph.read.nodes import tensor_key as tensor_key
from keras_port.tf1.graph.read.nodes import variable_dtype as variable_dtype
from keras_port.tf1.graph.read.nodes import variable_name as variable_name
from keras_port.tf1.graph.read.program import FixedInput as FixedInput
from keras_port.tf1.graph.read.program import GraphInput as GraphInput
from keras_port.tf1.graph.read.program import Program as Program
from keras_port.tf1.graph.read.program import Variable as Variable
from keras_port.tf1.graph.read.program import load_program as load_program
from keras_port.tf1.graph.read.saved_values import read_values as read_values
from keras_port.tf1.graph.read.signatures import Signature as Signature
from keras_port.tf1.graph.read.stated_shapes import (
    read_stated_shapes as read_stated_shapes,
)

__all__: list[str] = []
