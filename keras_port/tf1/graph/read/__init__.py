"""Reads a graph from its file, without running it."""

from keras_port.tf1.graph.read import names as names
from keras_port.tf1.graph.read import operation_registry as operation_registry
from keras_port.tf1.graph.read.errors import GRAPH_ERRORS as GRAPH_ERRORS
from keras_port.tf1.graph.read.errors import told_of as told_of
from keras_port.tf1.graph.read.nodes import ENTERS as ENTERS
from keras_port.tf1.graph.read.nodes import STRUCTURE as STRUCTURE
from keras_port.tf1.graph.read.nodes import SWITCHES as SWITCHES
from keras_port.tf1.graph.read.nodes import WRITER_OPS as WRITER_OPS
from keras_port.tf1.graph.read.nodes import Node as Node
from keras_port.tf1.graph.read.nodes import Scope as Scope
from keras_port.tf1.graph.read.nodes import function_scopes as function_scopes
from keras_port.tf1.graph.read.nodes import graph_scope as graph_scope
from keras_port.tf1.graph.read.nodes import (
    list_called_functions as list_called_functions,
)
from keras_port.tf1.graph.read.nodes import operation as operation
from keras_port.tf1.graph.read.nodes import tensor_key as tensor_key
from keras_port.tf1.graph.read.nodes import variable_name as variable_name
from keras_port.tf1.graph.read.program import FixedInput as FixedInput
from keras_port.tf1.graph.read.program import GraphInput as GraphInput
from keras_port.tf1.graph.read.program import Program as Program
from keras_port.tf1.graph.read.program import Variable as Variable
from keras_port.tf1.graph.read.program import from_config as from_config
from keras_port.tf1.graph.read.saved_values import read_values as read_values
from keras_port.tf1.graph.read.saved_values import saved_keys as saved_keys
from keras_port.tf1.graph.read.source import PLACEHOLDERS as PLACEHOLDERS
from keras_port.tf1.graph.read.source import PathLike as PathLike
from keras_port.tf1.graph.read.source import Source as Source
from keras_port.tf1.graph.read.source import read_source as read_source

__all__: list[str] = []
