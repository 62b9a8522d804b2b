"""Helpers that several folders of the package share; none of them is public."""

from keras_port._support.checksums import mask_checksum as mask_checksum
from keras_port._support.files import PointerError as PointerError
from keras_port._support.files import is_regular_file as is_regular_file
from keras_port._support.files import open_file as open_file
from keras_port._support.files import read_file as read_file
from keras_port._support.files import read_zip_member as read_zip_member
from keras_port._support.files import show_name as show_name
from keras_port._support.graph_check import graph_check as graph_check
from keras_port._support.graph_check import value_errors as value_errors
from keras_port._support.layer_names import LayerScope as LayerScope
from keras_port._support.layer_names import all_layers as all_layers
from keras_port._support.layer_names import (
    canonical_weight_paths as canonical_weight_paths,
)
from keras_port._support.layer_names import join_path as join_path
from keras_port._support.layer_names import layer_scopes as layer_scopes
from keras_port._support.layer_names import split_number as split_number
from keras_port._support.layer_names import strip_names as strip_names
from keras_port._support.layer_names import strip_numbers as strip_numbers
from keras_port._support.layer_names import unnumbered_name as unnumbered_name
from keras_port._support.layer_names import variable_names as variable_names
from keras_port._support.paths import absolute_path as absolute_path
from keras_port._support.paths import local_path as local_path
from keras_port._support.representation import (
    complete_public_names as complete_public_names,
)
from keras_port._support.representation import format_call as format_call
from keras_port._support.shards import Draws as Draws
from keras_port._support.shards import Shard as Shard
from keras_port._support.shards import current_shard as current_shard
from keras_port._support.shards import even_shard as even_shard
from keras_port._support.shards import replica_context as replica_context
from keras_port._support.shards import shard_of_replica as shard_of_replica
from keras_port._support.shards import working_on as working_on
from keras_port._support.symbolic_tensors import Shape as Shape
from keras_port._support.symbolic_tensors import shape_tuple as shape_tuple
from keras_port._support.symbolic_tensors import (
    symbolic_inputs as symbolic_inputs,
)
from keras_port._support.untracked_state import (
    get_global_generator_state as get_global_generator_state,
)
from keras_port._support.untracked_state import (
    list_untracked_variables as list_untracked_variables,
)
from keras_port._support.validation import INT64_MAX as INT64_MAX
from keras_port._support.validation import check_integer as check_integer

__all__: list[str] = []
