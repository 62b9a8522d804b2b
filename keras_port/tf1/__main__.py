r"""TensorFlow 1 checkpoints on the command line: look inside, move them.

python -m keras_port.tf1 list old/model.ckpt
python -m keras_port.tf1 to-keras old cnn.keras --model cnn
python -m keras_port.tf1 to-tf1 cnn.keras new/model.ckpt
python -m keras_port.tf1 graph old/model.ckpt.meta
python -m keras_port.tf1 graph-to-keras old/model.ckpt.meta out.keras \
    --inputs x_ --outputs y --feed keep_prob=0.5,1.0
"""

import argparse
from collections.abc import Sequence
import os
import pathlib
import sys
from typing import Any
from typing import get_args

from keras_port.tf1.checkpoint import commands as tf1_commands
from keras_port.tf1.checkpoint.matching import Match
from keras_port.tf1.checkpoint.names import Scheme
from keras_port.tf1.graph import commands as tf1_graph_commands

# Of argparse, which gives the type no public name.
Commands = Any
# What the functions' messages advise, as it is called here.
OPTIONS = {
    "`names={path: name}`": "`--map PATH=NAME`",
    "`strict=False`": "`--partial`",
    "`optimizer=False`": "`--weights-only`",
    "`forward=False`": "`--variables-only`",
    "`step=`": "`--step N`",
    "`names`": "`--names` or `--map`",
    "`inputs` or `feeds`": "`--inputs` or `--feed`",
    "`inputs`": "`--inputs`",
    "`outputs`": "`--outputs`",
    "`list_graph`": "The command `graph`",
    "`trainable=False`": "`--frozen`",
    "`checkpoint`": "`--checkpoint`",
}
CHECKPOINT_HELP = (
    "prefix such as folder/model.ckpt, one of the files, the folder, or a "
    "file of the first checkpoint format"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        arguments: The words behind the command. Defaults to `None`: those
            of this process.

    Returns:
        0, or 1 with one line on the standard error output. A wrong command
        line ends the process with 2.
    """
    options = parser().parse_args(arguments)
    try:
        print(options.run(options), flush=True)
    except BrokenPipeError:
        # Who reads has gone, as `head` does: nobody is left to be told.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1
    # Whatever a broken file makes Keras raise, a user gets one line of it.
    except Exception as error:  # noqa: BLE001
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the commands."""
    top = argparse.ArgumentParser(
        prog="python -m keras_port.tf1",
        description="Moves models between TensorFlow 1 checkpoints and Keras.",
        epilog="Each command explains itself: add --help behind its name.",
    )
    commands = top.add_subparsers(required=True, metavar="command")
    add_list(commands)
    add_to_keras(commands)
    add_to_tf1(commands)
    add_graph(commands)
    add_graph_to_keras(commands)
    return top


def add_list(commands: Commands) -> None:
    """Adds `list`."""
    command = commands.add_parser(
        "list",
        help="list the variables of a checkpoint",
        description="Lists each variable: name, shape, dtype, and what it is.",
    )
    command.add_argument("checkpoint", help=CHECKPOINT_HELP)
    command.set_defaults(run=tf1_commands.run_list)


def add_to_keras(commands: Commands) -> None:
    """Adds `to-keras`."""
    command = commands.add_parser(
        "to-keras",
        help="write a .keras file with the values of a checkpoint",
        description=(
            "Fills a model with the values of a checkpoint and writes it. A "
            "checkpoint holds no layers, so the model must be named."
        ),
    )
    command.add_argument("checkpoint", help=CHECKPOINT_HELP)
    command.add_argument("output", type=keras_file, help="the .keras to write")
    command.add_argument(
        "--model",
        required=True,
        help=(
            "perceptron or cnn for the course's, compiled as in the course, "
            "or a .keras file whose values are replaced"
        ),
    )
    command.add_argument(
        "--match",
        choices=get_args(Match),
        default="auto",
        help="how variables are recognised; default: the first that fits",
    )
    command.add_argument(
        "--step", type=int, help="updates so far; default: as the file says"
    )
    command.add_argument(
        "--partial",
        action="store_true",
        help="take what fits, instead of an error when something does not",
    )
    add_common(command)
    command.set_defaults(run=tf1_commands.run_to_keras)


def add_to_tf1(commands: Commands) -> None:
    """Adds `to-tf1`."""
    command = commands.add_parser(
        "to-tf1",
        help="write a checkpoint and its graph from a .keras file",
        description=(
            "Writes .index, .data, .meta and the file checkpoint. A "
            "TensorFlow 1 session restores them, also without any code for "
            "the model, by tf.train.import_meta_graph."
        ),
    )
    command.add_argument("model", type=keras_file, help="the .keras to read")
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
        "--variables-only",
        action="store_true",
        help="leave the computation out of the .meta",
    )
    add_common(command)
    command.set_defaults(run=tf1_commands.run_to_tf1)


def add_graph(commands: Commands) -> None:
    """Adds `graph`."""
    command = commands.add_parser(
        "graph",
        help="list what a .meta file holds",
        description=(
            "Lists the placeholders, the likely outputs and the variables of "
            "a TensorFlow 1 graph, and what of it would be refused."
        ),
    )
    command.add_argument("meta", help="the .meta file, its prefix or folder")
    command.set_defaults(run=tf1_graph_commands.run_graph)


def add_graph_to_keras(commands: Commands) -> None:
    """Adds `graph-to-keras`."""
    command = commands.add_parser(
        "graph-to-keras",
        help="write a .keras file with the graph of a .meta file",
        description=(
            "Writes a model of one layer, GraphLayer, that holds the graph and "
            "the values of the checkpoint beside it. No code is needed. The "
            "command graph shows the names."
        ),
    )
    command.add_argument("meta", help="the .meta file, its prefix or folder")
    command.add_argument("output", type=keras_file, help="the .keras to write")
    for name, of in (("inputs", "fed with data"), ("outputs", "predicted")):
        command.add_argument(
            f"--{name}",
            required=True,
            nargs="+",
            metavar="NAME",
            help=f"names of the tensors that are {of}",
        )
    command.add_argument(
        "--feed",
        action="append",
        default=[],
        type=tf1_graph_commands.feed,
        metavar="NAME=TRAINING,OTHERWISE",
        help="values of another placeholder, as in keep_prob=0.5,1.0 or "
        "is_training=true,false; once for each",
    )
    command.add_argument("--checkpoint", help=CHECKPOINT_HELP)
    command.add_argument(
        "--frozen", action="store_true", help="make no variable trainable"
    )
    command.set_defaults(run=tf1_graph_commands.run_graph_to_keras)


def add_common(command: argparse.ArgumentParser) -> None:
    """Adds what both directions share."""
    command.add_argument(
        "--map",
        action="append",
        type=pair,
        metavar="PATH=NAME",
        help="the TensorFlow 1 name of a path in the model, as in "
        "fc/kernel=W; once for each weight",
    )
    command.add_argument(
        "--weights-only",
        action="store_true",
        help="leave the optimizer's slots and the step count out",
    )


def keras_file(name: str) -> pathlib.Path:
    """Returns the path of a `.keras` file; the parser reports an error."""
    if not name.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"must end with .keras: {name}")
    return pathlib.Path(name)


def pair(text: str) -> tuple[str, str]:
    """Returns the two sides of `path=name`; the parser reports an error."""
    path, sign, name = text.partition("=")
    if not (path and sign and name):
        raise argparse.ArgumentTypeError(f"must be PATH=NAME: {text}")
    return path, name


def one_line(error: Exception) -> str:
    """Returns an error's text in one line, with this command's options."""
    text = " ".join(str(error).split()) or type(error).__name__
    for argument, option in OPTIONS.items():
        text = text.replace(argument, option)
    return text


if __name__ == "__main__":
    sys.exit(main())
