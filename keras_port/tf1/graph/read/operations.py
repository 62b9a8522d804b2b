"""Types of operations: which ones do what, and how TensorFlow describes them.

The tables hold names only. `trace` holds the code that runs these operations.
"""

from collections.abc import Iterable

import tensorflow as tf

from keras_port.tf1._files import VARIABLE_OPS
from keras_port.tf1.graph.read.protos import NodeDef
from keras_port.tf1.graph.read.protos import OpDef

PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
VARIABLES = VARIABLE_OPS
ASSIGNMENTS = ("Assign", "AssignAdd", "AssignSub")
# What the scatter operations do with the elements or rows they change.
ELEMENT_UPDATES = ("Update", "Add", "Sub", "Min", "Max")
ROW_UPDATES = (*ELEMENT_UPDATES, "Mul", "Div")
# Every operation that assigns to a variable, given as its first input.
WRITERS = (
    *ASSIGNMENTS,
    *(f"{op}VariableOp" for op in ASSIGNMENTS),
    *(f"Scatter{update}" for update in ROW_UPDATES),
    *(f"ResourceScatter{update}" for update in ROW_UPDATES),
    *(f"ScatterNd{update}" for update in ELEMENT_UPDATES),
    *(f"ResourceScatterNd{update}" for update in ELEMENT_UPDATES),
    "StridedSliceAssign",
    "ResourceStridedSliceAssign",
)
SWITCHES = ("Switch", "RefSwitch")
ENTERS = ("Enter", "RefEnter")
# They only mark in which branch or loop an operation is.
STRUCTURE = (*SWITCHES, *ENTERS, "Merge", "NextIteration", "LoopCond")
TABLES = ("HashTable", "HashTableV2")
# Operations that fill a table with keys and values from the graph.
TABLE_INITIALIZERS = (
    "InitializeTable",
    "InitializeTableV2",
    "LookupTableImport",
    "LookupTableImportV2",
)
LOOKUPS = (
    "LookupTableFind",
    "LookupTableFindV2",
    "LookupTableSize",
    "LookupTableSizeV2",
)
# They choose a function by their first input, which is not passed to it.
FUNCTION_CHOICES = ("If", "StatelessIf", "Case", "StatelessCase")


def describe_operations(types: Iterable[str]) -> dict[str, OpDef]:
    """Returns TensorFlow's description of every type that it knows.

    A `.meta` file contains descriptions too, but what a file says about itself
    is not a reason to trust it.
    """
    graph = tf.compat.v1.GraphDef()
    for number, name in enumerate(sorted(set(types))):
        graph.node.add(name=f"n{number}", op=name)
    # The descriptions in a new file come from this process's registry.
    made = tf.compat.v1.train.export_meta_graph(
        graph_def=graph, graph=tf.Graph()
    )
    return {one.name: one for one in made.meta_info_def.stripped_op_list.op}


def output_offsets(node: NodeDef, description: OpDef) -> dict[str, int]:
    """Returns the index of the first tensor of every named output."""
    offsets, start = {}, 0
    for output in description.output_arg:
        offsets[output.name] = start
        if output.number_attr:
            start += node.attr[output.number_attr].i
        elif output.type_list_attr:
            start += len(node.attr[output.type_list_attr].list.type)
        else:
            start += 1
    return offsets
