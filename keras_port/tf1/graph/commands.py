"""What the commands for graphs of `python -m keras_port.tf1` do."""

import argparse
import json

from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.tf1.graph import GraphLayer
from keras_port.tf1.graph import list_graph


def run_graph(options: argparse.Namespace) -> str:
    """Returns what a `.meta` file holds."""
    return str(list_graph(options.meta))


def run_graph_to_keras(options: argparse.Namespace) -> str:
    """Writes a `.keras` file and returns what is in it."""
    layer = GraphLayer(
        options.meta,
        inputs=options.inputs,
        outputs=options.outputs,
        feeds=dict(options.feed),
        checkpoint=options.checkpoint,
        trainable=not options.frozen,
    )
    model = layer.to_model()
    with atomic_file(options.output) as partial:
        model.save(partial)
    lines = [
        f"{weight.path} {tuple(weight.shape)} {weight.dtype}"
        for weight in layer.weights
    ]
    return "\n".join(
        [
            *lines,
            f"written: {options.output}; a graph is code, so it is loaded by "
            "keras.saving.load_model(path, safe_mode=False)",
        ]
    )


def feed(text: str) -> tuple[str, tuple[object, object]]:
    """Returns a name and its two values; the parser reports an error."""
    name, sign, values = text.partition("=")
    parts = values.split(",") if sign else []
    if not name or len(parts) not in (1, 2):
        raise argparse.ArgumentTypeError(
            f"must be NAME=TRAINING,OTHERWISE: {text}"
        )
    return name, (number(parts[0]), number(parts[-1]))


def number(text: str) -> object:
    """Returns a number or a bool; the parser reports an error."""
    try:
        value = json.loads(text.strip().lower())
    except ValueError:
        value = None
    if not isinstance(value, (bool, int, float)):
        raise argparse.ArgumentTypeError(f"must be a number or a bool: {text}")
    return value
