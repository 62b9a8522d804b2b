"""Lesson 2b: the computational graph without TensorBoard.

Lists the operations and variables of the lesson's small graph and evaluates
tensors by name. Then evaluates a tensor of a model on a test image, and writes
the model's graph as text and as a web page.
"""

from collections.abc import Callable
import pathlib

from absl import flags
import cli

with cli.quiet_imports():
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_port import checkpoints
    from keras_port import datasets
    from keras_port import inspection
    from keras_port import models

BUILDERS: dict[str, Callable[[], keras.Model]] = {
    "cnn": models.build_cnn,
    "perceptron": models.build_perceptron,
}


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_data_flag()
    flags.DEFINE_string(
        "model", "cnn", '"cnn", "perceptron", or a .keras file of a run.'
    )
    flags.DEFINE_string(
        "tensor",
        None,
        "Name of a tensor to evaluate on the first test image, such as "
        "conv1/relu:0. Defaults to the model's output.",
    )
    flags.DEFINE_bool(
        "training", False, "Whether to run the model as in training."
    )
    flags.DEFINE_string(
        "workdir", "runs/graph", "Directory for graph.txt and graph.html."
    )


def build_small_graph() -> inspection.ModelGraph:
    """Builds the graph of lesson 2b: two constants and two variables."""
    W1 = tf.Variable(tf.ones([2]), name="W1")  # noqa: N806 (the lesson's name)
    W2 = tf.Variable(tf.zeros([2]), name="W2")  # noqa: N806

    def lesson() -> tuple[tf.Tensor, tf.Tensor]:
        x1 = tf.constant([1, 0], dtype=tf.float32, name="x1")
        x2 = tf.constant([0, 1], dtype=tf.float32, name="x2")
        x3 = tf.add(x1, W1, name="x3")
        x4 = tf.identity(x2 * W2, name="x4")
        return x3, x4

    return inspection.graph(lesson)


def describe(graph: inspection.ModelGraph, tensors: list[str]) -> str:
    """Returns operations, values and variables as the lesson shows them.

    Args:
        graph: A graph whose tensors need no feeds.
        tensors: Names of the tensors to evaluate.
    """
    lines = [
        f"operation {operation.name}, type {operation.type}"
        for operation in graph.operations
    ]
    lines += [f"{name} = {graph.run(name)}" for name in tensors]
    lines += [
        f"variable {variable.name}, shape {variable.shape}: {variable.value()}"
        for variable in graph.variables
    ]
    return "\n".join(lines)


def inspect_model(
    model: keras.Model,
    image: np.ndarray,
    workdir: pathlib.Path,
    *,
    tensor: str | None = None,
    training: bool = False,
) -> np.ndarray:
    """Writes the graph of a model and returns one of its tensors.

    Args:
        model: A model of images.
        image: One image, uint8, of 784 pixels.
        workdir: Directory to write to.
        tensor: Name of the tensor. Defaults to `None`: the model's output.
        training: Whether to run the model as in training. Defaults to
            `False`.
    """
    graph = inspection.graph(model, training=training)
    tensor = tensor or graph.operations[-1].outputs[0]
    shown = graph.tensor(tensor)
    checkpoints.make_writable_directory(workdir)
    (workdir / "graph.txt").write_text(graph.to_text(), "utf-8")
    graph.to_html(workdir / "graph.html")
    for variable in graph.variables:
        print(f"variable {variable.name}, shape {variable.shape}")
    inputs = next(op for op in graph.operations if op.type == "Placeholder")
    pixels = datasets.scale_pixels(image).reshape((1, *model.input_shape[1:]))
    value: np.ndarray = shown.eval({inputs.outputs[0]: pixels})
    print(
        f"{shown.name}, type {shown.operation.type}, shape {shown.shape}: "
        f"{value.dtype} {value.shape} from {value.min():.6f} to "
        f"{value.max():.6f}"
    )
    return value


def load(name: str) -> keras.Model:
    """Builds a model by name, or loads one from a file."""
    if name in BUILDERS:
        return BUILDERS[name]()
    # Raises a short error if the file is missing or broken.
    checkpoints.read_record(name)
    return keras.saving.load_model(name)


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    print(describe(build_small_graph(), ["x3:0", "x4:0"]))
    model = load(values.model)
    splits = datasets.load_mnist(cli.data_dir())
    workdir = pathlib.Path(values.workdir)
    inspect_model(
        model,
        splits.test.images[0].reshape(784),
        workdir,
        tensor=values.tensor,
        training=values.training,
    )
    print(f"Open {workdir / 'graph.html'} in a browser to see the graph.")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
