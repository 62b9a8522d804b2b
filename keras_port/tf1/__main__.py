r"""Lists and converts TensorFlow 1 checkpoints and graphs on the command line.

python -m keras_port.tf1 list old/model.ckpt
python -m keras_port.tf1 to-keras old cnn.keras --model cnn
python -m keras_port.tf1 to-tf1 cnn.keras new/model.ckpt
python -m keras_port.tf1 graph old/model.ckpt.meta
python -m keras_port.tf1 graph-to-keras old/model.ckpt.meta out.keras \
    --inputs x_ --outputs y --feed keep_prob=0.5,1.0
"""

import argparse
from collections.abc import Mapping
from collections.abc import Sequence
import json
import os
import pathlib
import sys
from typing import Protocol
from typing import get_args
import warnings

import keras

from keras_port._support import show_name
from keras_port.checkpoints import atomic_file
from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.optimizers import Adam
from keras_port.tf1.checkpoint import Match
from keras_port.tf1.checkpoint import Scheme
from keras_port.tf1.checkpoint import list_variables
from keras_port.tf1.checkpoint import load_checkpoint
from keras_port.tf1.checkpoint import save_checkpoint
from keras_port.tf1.graph import GraphLayer
from keras_port.tf1.graph import Phase
from keras_port.tf1.graph import list_graph

_MAX_MESSAGE = 4000
_CHECKPOINT_HELP = (
    "prefix such as folder/model.ckpt, one of the files, the folder, or a "
    "file of the first checkpoint format"
)

_GRAPH_HELP = (
    "a .meta file, its prefix, a frozen .pb file, a SavedModel, or the folder "
    "that holds one of them"
)


class _Commands(Protocol):
    """What `add_subparsers` returns, for which argparse has no public type."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,  # noqa: A002
        description: str,
    ) -> argparse.ArgumentParser: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    Args:
        arguments: The words after `python -m keras_port.tf1`. Defaults to
            `None`: those of this process.

    Returns:
        0, or 1 after printing one line to the standard error. A wrong command
        line ends the process with exit code 2.
    """
    options = _build_parser().parse_args(arguments)
    try:
        print(options.run(options), flush=True)
    except BrokenPipeError:
        # The reader is gone, as with `head`, so there is nothing to report.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1
    # Whatever Keras raises for a broken file, a user gets one line.
    except Exception as error:  # noqa: BLE001
        print(f"error: {_format_error(error, options.flags)}", file=sys.stderr)
        return 1
    return 0


def _format_error(error: Exception, flags: Mapping[str, str]) -> str:
    """Returns an error in one line, with the flags for its arguments.

    Errors name the arguments of the Python functions. If a flag has another
    name, a sentence at the end says so.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    # Names from a file could change the terminal.
    text = show_name(text, max_length=_MAX_MESSAGE)
    hints = [
        f"`{argument}` is `{flag}`"
        for argument, flag in flags.items()
        if f"`{argument}`" in text or f"`{argument}=" in text
    ]
    return f"{text} Here {', '.join(hints)}." if hints else text


def _build_parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m keras_port.tf1",
        description="Moves models between TensorFlow 1 and Keras.",
        epilog="Add --help after the name of a command for its options.",
    )
    commands = top.add_subparsers(required=True, metavar="command")
    _add_list(commands)
    _add_to_keras(commands)
    _add_to_tf1(commands)
    _add_graph(commands)
    _add_graph_to_keras(commands)
    return top


def _add_list(commands: _Commands) -> None:
    """Adds `list`."""
    command = commands.add_parser(
        "list",
        help="list the variables of a checkpoint",
        description="Lists the name, shape, dtype and kind of every variable.",
    )
    command.add_argument("checkpoint", help=_CHECKPOINT_HELP)
    command.set_defaults(run=_run_list, flags={})


def _run_list(options: argparse.Namespace) -> str:
    """Returns the variables of a checkpoint."""
    return "\n".join(map(str, list_variables(options.checkpoint)))


def _add_to_keras(commands: _Commands) -> None:
    """Adds `to-keras`."""
    command = commands.add_parser(
        "to-keras",
        help="write a .keras file with the values of a checkpoint",
        description=(
            "Loads the values of a checkpoint into a model and saves it. A "
            "checkpoint holds no layers, so a model must be given."
        ),
    )
    command.add_argument("checkpoint", help=_CHECKPOINT_HELP)
    command.add_argument(
        "output", type=_parse_keras_file, help="the .keras file to write"
    )
    command.add_argument(
        "--model",
        required=True,
        help=(
            "perceptron or cnn for the course's models, compiled as in the "
            "course, or a .keras file whose values are replaced"
        ),
    )
    command.add_argument(
        "--match",
        choices=get_args(Match),
        default="auto",
        help="how variables are matched; default: the first way that fits",
    )
    command.add_argument(
        "--scope",
        help="use only the variables in this scope, such as eval_net",
    )
    command.add_argument(
        "--step",
        type=int,
        help="number of updates so far; default: read from the file",
    )
    command.add_argument(
        "--partial",
        action="store_true",
        help="load the layers that fit, instead of an error if one does not",
    )
    _add_common(command)
    command.set_defaults(
        run=_run_to_keras,
        flags={
            "names": "--map",
            "strict": "--partial",
            "include_optimizer": "--weights-only",
        },
    )


def _run_to_keras(options: argparse.Namespace) -> str:
    """Writes a `.keras` file and returns the report."""
    model = _get_model(options.model)
    report = load_checkpoint(
        model,
        options.checkpoint,
        names=dict(options.map) if options.map else None,
        match=options.match,
        scope=options.scope,
        include_optimizer=not options.weights_only,
        step=options.step,
        strict=not options.partial,
    )
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        # Keras warns when it loads a file without slots.
        optimizer.build(model.trainable_variables)
    with atomic_file(options.output) as partial:
        model.save(partial)
    return f"{report}\nwritten: {options.output}"


def _add_to_tf1(commands: _Commands) -> None:
    """Adds `to-tf1`."""
    command = commands.add_parser(
        "to-tf1",
        help="write a checkpoint and its graph from a .keras file",
        description=(
            "Writes .index, .data, .meta and the file checkpoint. A "
            "TensorFlow 1 session restores them, even without any code for "
            "the model, with tf.train.import_meta_graph."
        ),
    )
    command.add_argument(
        "model", type=_parse_keras_file, help="the .keras file to read"
    )
    command.add_argument("checkpoint", help="prefix of the files to write")
    command.add_argument(
        "--names",
        choices=get_args(Scheme),
        help=(
            "letters: W, b; numbered: Variable, Variable_1; scoped: "
            "conv1/weight; keras: conv1/kernel; default: the course's names "
            "for its two models, keras for others"
        ),
    )
    command.add_argument(
        "--like",
        metavar="OLD",
        help="an old checkpoint of the program that is to restore the new one, "
        "which gets its names, shapes and other values",
    )
    command.add_argument(
        "--scope",
        help="with --like, use only the variables in this scope",
    )
    command.add_argument(
        "--variables-only",
        action="store_true",
        help="leave the computation out of the .meta",
    )
    _add_common(command)
    command.set_defaults(
        run=_run_to_tf1,
        flags={
            "names": "--names` or `--map",
            "include_optimizer": "--weights-only",
            "include_graph": "--variables-only",
            "path": "checkpoint",
        },
    )


def _run_to_tf1(options: argparse.Namespace) -> str:
    """Writes a checkpoint and returns its names."""
    export = save_checkpoint(
        _load_model(options.model),
        options.checkpoint,
        names=dict(options.map) if options.map else options.names,
        like=options.like,
        scope=options.scope,
        include_optimizer=not options.weights_only,
        include_graph=not options.variables_only,
    )
    return str(export)


def _add_common(command: argparse.ArgumentParser) -> None:
    """Adds the options that `to-keras` and `to-tf1` share."""
    command.add_argument(
        "--map",
        action="append",
        type=_parse_pair,
        metavar="PATH=NAME",
        help="the TensorFlow 1 name for a path in the model, such as "
        "fc/kernel=W; repeat for every weight",
    )
    command.add_argument(
        "--weights-only",
        action="store_true",
        help="leave out the optimizer's slots and the step count",
    )


def _get_model(name: str) -> keras.Model:
    """Returns one of the course's models, compiled, or one from a file."""
    if name == "perceptron":
        model = build_perceptron()
        model.compile(keras.optimizers.SGD(0.01), CourseCrossEntropy())
        return model
    if name == "cnn":
        model = build_cnn()
        model.compile(Adam(1e-4), CourseCrossEntropy("sum"))
        return model
    if not name.endswith(".keras"):
        raise ValueError(
            "`--model` must be perceptron, cnn or a .keras file. "
            f"Received: {name}"
        )
    return _load_model(name)


def _load_model(name: str | pathlib.Path) -> keras.Model:
    """Returns the model of a `.keras` file."""
    with warnings.catch_warnings():
        # A model that was never trained was saved without slots.
        warnings.filterwarnings("ignore", "Skipping variable loading for opt")
        return keras.saving.load_model(name)


def _add_graph(commands: _Commands) -> None:
    """Adds `graph`."""
    command = commands.add_parser(
        "graph",
        help="list what a graph holds",
        description=(
            "Lists the inputs, the settings, the likely outputs and the "
            "variables of a TensorFlow 1 graph, and the operations that are "
            "not supported."
        ),
    )
    command.add_argument("graph", help=_GRAPH_HELP)
    command.set_defaults(run=_run_graph, flags={})


def _run_graph(options: argparse.Namespace) -> str:
    """Returns what a graph holds."""
    return str(list_graph(options.graph))


def _add_graph_to_keras(commands: _Commands) -> None:
    """Adds `graph-to-keras`."""
    command = commands.add_parser(
        "graph-to-keras",
        help="write a .keras file with a graph and its values",
        description=(
            "Writes a model of one layer, GraphLayer, that holds the graph and "
            "the values that belong to it. No code is needed. The command "
            "graph lists the names."
        ),
    )
    command.add_argument("graph", help=_GRAPH_HELP)
    command.add_argument(
        "output", type=_parse_keras_file, help="the .keras file to write"
    )
    for name, of in (("inputs", "fed with data"), ("outputs", "predicted")):
        command.add_argument(
            f"--{name}",
            nargs="+",
            metavar="NAME",
            help=f"names of the tensors that are {of}; default: those of the "
            "signature in the file",
        )
    command.add_argument(
        "--signature",
        metavar="NAME",
        help="signature whose inputs and outputs are used; default: "
        "serving_default, or the only one",
    )
    command.add_argument(
        "--feed",
        action="append",
        default=[],
        type=_parse_feed,
        metavar="NAME=TRAINING,INFERENCE",
        help="values of another placeholder, such as keep_prob=0.5,1.0 or "
        "is_training=true,false; repeat for every placeholder",
    )
    command.add_argument(
        "--shape",
        action="append",
        default=[],
        type=_parse_shape,
        metavar="NAME=SIZE,SIZE",
        help="shape of an input, where the graph does not tell it, such as "
        "x=None,784; repeat for every input",
    )
    command.add_argument("--checkpoint", help=_CHECKPOINT_HELP)
    command.add_argument(
        "--trainable",
        nargs="*",
        metavar="PATTERN",
        help="names of the variables that train, such as 'conv*'; without a "
        "name none does; default: those that TensorFlow 1 trained",
    )
    command.set_defaults(
        run=_run_graph_to_keras,
        flags={
            "constants": "--feed",
            "shapes": "--shape",
            "list_graph": "graph",
        },
    )


def _run_graph_to_keras(options: argparse.Namespace) -> str:
    """Writes a `.keras` file and returns its weights."""
    chosen = options.trainable
    layer = GraphLayer(
        options.graph,
        inputs=options.inputs,
        outputs=options.outputs,
        signature=options.signature,
        constants=dict(options.feed),
        shapes=dict(options.shape),
        checkpoint=options.checkpoint,
        trainable=True if chosen is None else chosen or False,
    )
    model = layer.to_model()
    with atomic_file(options.output) as partial:
        model.save(partial)
    lines = [
        f"{show_name(weight.path)} {tuple(weight.shape)} {weight.dtype}"
        for weight in layer.weights
    ]
    if chosen is None and not layer.trainable_weights:
        lines.append("none of the weights train; --trainable chooses some")
    return "\n".join(
        [
            *lines,
            f"written: {options.output}; a graph is code, so load it with "
            "keras.saving.load_model(path, safe_mode=False)",
        ]
    )


def _parse_keras_file(name: str) -> pathlib.Path:
    """Returns the path of a `.keras` file; the parser reports an error."""
    if not name.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"must end with .keras: {name}")
    return pathlib.Path(name)


def _parse_pair(text: str) -> tuple[str, str]:
    """Returns the two sides of `path=name`; the parser reports an error."""
    path, sign, name = text.partition("=")
    if not (path and sign and name):
        raise argparse.ArgumentTypeError(f"must be PATH=NAME: {text}")
    return path, name


def _parse_feed(text: str) -> tuple[str, Phase]:
    """Returns a name and its two values; the parser reports an error."""
    name, sign, values = text.partition("=")
    parts = values.split(",") if sign else []
    if not name or len(parts) not in (1, 2):
        raise argparse.ArgumentTypeError(
            f"must be NAME=TRAINING,INFERENCE: {text}"
        )
    return name, Phase(
        training=_parse_number(parts[0]), inference=_parse_number(parts[-1])
    )


def _parse_shape(text: str) -> tuple[str, tuple[int | None, ...]]:
    """Returns a name and a shape; the parser reports an error."""
    name, sign, sizes = text.partition("=")
    parts = [one.strip() for one in sizes.split(",")] if sizes else []
    is_known = all(one.isdecimal() or one in ("None", "?", "") for one in parts)
    if not name or not sign or not is_known:
        raise argparse.ArgumentTypeError(
            f"must be NAME=SIZE,SIZE, with None for an open one: {text}"
        )
    # "x=None," is a shape of one axis, as a tuple of Python is.
    parts = parts[:-1] if parts[-1:] == [""] else parts
    return name, tuple(int(o) if o.isdecimal() else None for o in parts)


def _parse_number(text: str) -> float:
    """Returns a number or a bool; the parser reports an error."""
    try:
        value = json.loads(text.strip().lower())
    except ValueError:
        value = None
    if not isinstance(value, (bool, int, float)):
        raise argparse.ArgumentTypeError(f"must be a number or a bool: {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
