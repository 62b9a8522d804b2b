"""Measures how fast a graph becomes a layer, and how fast the layer runs.

- convert: makes a layer of a network with many dense layers, normalization and
  shortcuts, and traces its inference. Its forward pass has at least the given
  number of operations. The `.meta` also holds initial values and a `Saver`.
- layer and function: call the course's CNN on batches of 100, as a layer made
  from its `.meta` file, and as a `tf.function` of the same operations on
  `tf.Variable`s.

Prints seconds and milliseconds per call as medians over the rounds, and the
ratio of the calls. The targets are under 5 s, and a ratio of at most 1.1.
"""

from collections.abc import Callable
import dataclasses
import json
import os
import pathlib
import platform
import re
import statistics
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import keras
import numpy as np
import tensorflow as tf

from keras_port.tf1 import GraphLayer

v1 = tf.compat.v1
BATCH_SIZE = 100
WIDTH = 8
# Of one layer of the large network, with those that read its variables.
OPERATIONS_PER_LAYER = 23
SHAPES = (
    [5, 5, 1, 32],
    [32],
    [5, 5, 32, 64],
    [64],
    [3136, 1024],
    [1024],
    [1024, 10],
    [10],
)


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_integer(
        "operations", 10_000, "Operations to convert.", lower_bound=10
    )
    flags.DEFINE_integer("calls", 50, "Calls per measurement.", lower_bound=1)
    flags.DEFINE_integer(
        "rounds", 5, "Measurements of every kind.", lower_bound=1
    )
    flags.DEFINE_string("json", None, "File to write the numbers to.")


def write_large(folder: pathlib.Path, operations: int) -> int:
    """Writes a large graph; returns how many operations its result needs."""
    with tf.Graph().as_default() as graph, v1.Session() as session:
        h = v1.placeholder(tf.float32, [None, WIDTH], name="x")
        for number in range(-(-operations // OPERATIONS_PER_LAYER)):
            with v1.variable_scope(f"layer{number}"):
                w = v1.get_variable("w", [WIDTH, WIDTH], use_resource=False)
                b = v1.get_variable("b", [WIDTH], use_resource=False)
                inner = tf.matmul(h, w) + b
                mean, variance = tf.nn.moments(inner, [1], keepdims=True)
                inner = tf.nn.batch_normalization(
                    inner, mean, variance, None, None, 1e-3
                )
                h = h + 0.1 * tf.nn.relu(inner)
        tf.identity(h, name="out")
        save(session, folder)
        # Without the operations that only set initial values or save.
        return sum(
            not re.search("/Initializer|/Assign$|^save|^init", one.name)
            for one in graph.get_operations()
        )


def write_cnn(folder: pathlib.Path) -> None:
    """Writes the course's CNN."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 784], name="x")
        variables = [
            v1.get_variable(
                f"v{number}",
                shape,
                initializer=v1.truncated_normal_initializer(stddev=0.1),
                use_resource=False,
            )
            for number, shape in enumerate(SHAPES)
        ]
        tf.identity(network(x, variables), name="out")
        save(session, folder)


def save(session: Any, folder: pathlib.Path) -> None:
    """Saves the graph and the values of a session."""
    session.run(v1.global_variables_initializer())
    v1.train.Saver().save(session, str(folder / "model.ckpt"))


def network(x: Any, variables: list[Any]) -> tf.Tensor:
    """Computes the course's CNN."""
    w1, b1, w2, b2, w3, b3, w4, b4 = variables
    h = tf.reshape(x, [-1, 28, 28, 1])
    for w, b in ((w1, b1), (w2, b2)):
        h = tf.nn.relu(tf.nn.conv2d(h, w, 1, "SAME") + b)
        h = tf.nn.max_pool2d(h, 2, 2, "SAME")
    h = tf.nn.relu(tf.matmul(tf.reshape(h, [-1, 3136]), w3) + b3)
    return tf.nn.softmax(tf.matmul(h, w4) + b4)


def convert(folder: pathlib.Path) -> float:
    """Returns the seconds that making a layer takes."""
    started = time.perf_counter()
    GraphLayer(folder, inputs="x", outputs="out")
    return time.perf_counter() - started


def make_functions(
    folder: pathlib.Path,
) -> dict[str, Callable[[tf.Tensor], Any]]:
    """Returns the layer and the function that compute the CNN, by name."""
    layer = GraphLayer(folder, inputs="x", outputs="out")
    variables = [tf.Variable(value) for value in layer.get_weights()]
    function = tf.function(lambda x: network(x, variables))
    called = tf.function(layer)
    return {"function": function, "layer": called}


@dataclasses.dataclass(frozen=True)
class Report:
    """The measured times and the machine.

    Args:
        operations: Number of operations that were converted.
        convert: Seconds of the conversion, one value per round.
        calls: Seconds of one call, one value per round, by kind.
        versions: Versions of Python, TensorFlow and Keras.
        machine: Kind of processor.
    """

    operations: int
    convert: list[float]
    calls: dict[str, list[float]]
    versions: dict[str, str]
    machine: str

    def table(self) -> str:
        """Returns the medians and the ratios as a Markdown table."""
        lines = [
            "| what | median | of function |",
            "|---|---|---|",
            f"| convert {self.operations:,} operations | "
            f"{statistics.median(self.convert):.2f} s | |",
        ]
        for kind, seconds in self.calls.items():
            ratios = np.divide(seconds, self.calls["function"])
            lines.append(
                f"| call of the {kind} | "
                f"{1000 * statistics.median(seconds):.2f} ms | "
                f"{statistics.median(ratios):.3f} |"
            )
        return "\n".join(lines)


def measure(operations: int, calls: int, rounds: int) -> Report:
    """Measures the kinds in turn, `rounds` times."""
    with tempfile.TemporaryDirectory() as name:
        large, small = pathlib.Path(name, "large"), pathlib.Path(name, "small")
        large.mkdir()
        small.mkdir()
        count = write_large(large, operations)
        write_cnn(small)
        seconds = [round(convert(large), 3) for _ in range(rounds)]
        functions = make_functions(small)
    x = tf.random.uniform([BATCH_SIZE, 784], seed=1)
    times: dict[str, list[float]] = {kind: [] for kind in functions}
    for function in functions.values():
        function(x)
    for _ in range(rounds):
        for kind, function in functions.items():
            started = time.perf_counter()
            for _ in range(calls):
                result = function(x)
            result.numpy()
            times[kind].append((time.perf_counter() - started) / calls)
    versions = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    return Report(count, seconds, times, versions, platform.machine())


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    report = measure(values.operations, values.calls, values.rounds)
    print(report.table())
    print(", ".join(f"{k} {v}" for k, v in report.versions.items()))
    if values.json:
        text = json.dumps(dataclasses.asdict(report), indent=2)
        pathlib.Path(values.json).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    define_flags()
    app.run(main)
