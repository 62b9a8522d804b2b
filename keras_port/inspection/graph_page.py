"""Writes a graph as one page of HTML that loads nothing."""

from collections.abc import Sequence
import html
import importlib.resources
import json

from keras_port.inspection.records import GraphOperation
from keras_port.inspection.records import shape_text

TEMPLATE = "graph_page.html"
# Placeholders of the template for the name and the operations.
TITLE_MARK = "{{title}}"
DATA_MARK = "{{data}}"


def graph_page(name: str, operations: Sequence[GraphOperation]) -> str:
    """Returns the HTML page that shows a graph.

    Args:
        name: Title of the page.
        operations: The operations of the graph.
    """
    files = importlib.resources.files("keras_port.inspection")
    template = files.joinpath(TEMPLATE).read_text("utf-8")
    data = [page_operation(operation) for operation in operations]
    before, after = template.split(DATA_MARK)
    title = html.escape(name)
    return (
        before.replace(TITLE_MARK, title)
        + script_json(data)
        + after.replace(TITLE_MARK, title)
    )


def page_operation(operation: GraphOperation) -> dict[str, object]:
    """Returns the data that the page shows about an operation."""
    return {
        "name": operation.name,
        "type": operation.type,
        "inputs": list(operation.inputs),
        "control": list(operation.control_inputs),
        "outputs": [
            [name, dtype, shape_text(shape)]
            for name, dtype, shape in zip(
                operation.outputs,
                operation.dtypes,
                operation.shapes,
                strict=True,
            )
        ],
        "attributes": dict(operation.attributes),
    }


def script_json(data: object) -> str:
    """Returns JSON that is safe inside a script element."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
