"""Writes a graph as text, with one line for each operation."""

from collections.abc import Sequence

from keras_port.inspection.records import GraphOperation
from keras_port.inspection.records import GraphVariable
from keras_port.inspection.records import shape_text


def graph_text(
    name: str,
    operations: Sequence[GraphOperation],
    variables: Sequence[GraphVariable],
) -> str:
    """Returns a graph as aligned lines of text.

    Args:
        name: Name of the graph.
        operations: Its operations.
        variables: Its variables.
    """
    header = f"{name}: {len(operations)} operations, {len(variables)} variables"
    rows = [operation_row(operation) for operation in operations]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=False)
        aligned = [text.ljust(width) for text, width in cells]
        lines.append("  ".join(aligned + row[3:]).rstrip())
    return "\n".join([header, "", *lines]) + "\n"


def operation_row(operation: GraphOperation) -> list[str]:
    """Returns name, type, outputs and inputs of an operation as text."""
    outputs = "; ".join(
        f"{dtype} {shape_text(shape)}"
        for dtype, shape in zip(operation.dtypes, operation.shapes, strict=True)
    )
    inputs = ", ".join(
        [*operation.inputs, *(f"^{name}" for name in operation.control_inputs)]
    )
    return [
        operation.name,
        operation.type,
        outputs,
        f"<- {inputs}" if inputs else "",
    ]
