"""Connects the lookups in a table with the keys and values that fill it.

A session fills a table once, by an operation that nothing reads. A layer has no
session. So a lookup reads the operation that fills the table instead of the
table, and what the lookup needs is what its inputs lead to, as everywhere else.
"""

from keras_port.tf1.graph.read import operations
from keras_port.tf1.graph.read.nodes import tensor_key
from keras_port.tf1.graph.read.protos import GraphDef
from keras_port.tf1.graph.read.protos import NodeDef


def connect_tables(graph: GraphDef) -> None:
    """Connects the lookups with what fills their tables, where that is known.

    A table that a file fills, or nothing, stays as it is.
    """
    nodes = {node.name: node for node in graph.node}
    initializers: dict[str, list[NodeDef]] = {}
    for node in graph.node:
        is_initializer = (
            node.op in operations.TABLE_INITIALIZERS and len(node.input) > 2
        )
        # The Saver fills tables of other kinds, from files.
        if is_initializer and (table := find_table(node, nodes)):
            initializers.setdefault(table, []).append(node)
    for node in graph.node:
        if node.op in operations.LOOKUPS and node.input:
            found = initializers.get(find_table(node, nodes), [])
            if len(found) == 1:
                node.input[0] = found[0].name
    for several in initializers.values():
        if len(several) == 1:
            del several[0].input[0]


def find_table(node: NodeDef, nodes: dict[str, NodeDef]) -> str:
    """Returns the name of the table that is the first input, or `""`.

    Two operations with the same shared name are one table.
    """
    seen: set[str] = set()
    source = nodes.get(tensor_key(node.input[0]).rpartition(":")[0])
    while source is not None and source.op == "Identity" and source.input:
        if source.name in seen:
            return ""
        seen.add(source.name)
        source = nodes.get(tensor_key(source.input[0]).rpartition(":")[0])
    if source is None or source.op not in operations.TABLES:
        return ""
    shared: str = source.attr["shared_name"].s.decode("utf-8", "replace")
    return f"shared {shared}" if shared else source.name
