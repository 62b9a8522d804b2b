"""Converts a TensorFlow 1 network to a Keras model, from its files alone.

Without --graph, the script first creates the files: it trains the course's CNN
in a TensorFlow 1 session and saves it. From then on it uses only the files. It
lists the graph, makes it a layer and evaluates the layer. Then it trains a new
head on the features for a different task (is the digit even?), saves the new
model and loads it again.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

from absl import flags
import cli

with cli.quiet_imports():
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_port import checkpoints
    from keras_port import datasets
    from keras_port import tf1

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Args:
        old_accuracy: Accuracy of the old network on the test images.
        head_accuracy: Accuracy of the new head on the test images.
        is_same: Whether the loaded model gives the same predictions, bit for
            bit.
        path: File of the new model.
    """

    old_accuracy: float
    head_accuracy: float
    is_same: bool
    path: pathlib.Path


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_data_flag()
    flags.DEFINE_string("workdir", "runs/tf1_graph", "Directory of the files.")
    flags.DEFINE_string(
        "graph",
        None,
        "The file or folder of a network that takes rows of 784 pixels: a "
        ".meta file with its checkpoint next to it, a frozen .pb file, or a "
        "SavedModel. Defaults to the course's CNN, trained by this script.",
    )
    flags.DEFINE_string("inputs", "x_", "Name of the tensor of the images.")
    flags.DEFINE_string(
        "outputs", "y", "Name of the tensor of the probabilities."
    )
    flags.DEFINE_string(
        "features", "fc1/features", "Tensor that the new head reads."
    )
    flags.DEFINE_string(
        "keep_prob",
        "keep_prob",
        "Name of the placeholder of dropout; empty if there is none.",
    )
    flags.DEFINE_integer(
        "old_steps",
        200,
        "Training steps in the session, of 100 images each.",
        1,
    )
    flags.DEFINE_integer(
        "max_steps",
        200,
        "Training steps of the new head, of 100 images each.",
        1,
    )
    flags.DEFINE_integer(
        "seed", 1, "Seed of the order of the data.", lower_bound=0
    )


def write_old_program(
    folder: pathlib.Path, train: datasets.ImageSplit, steps: int, seed: int
) -> pathlib.Path:
    """Trains the course's CNN as in TensorFlow 1; returns its `.meta` file.

    Args:
        folder: Directory of the checkpoint.
        train: The images.
        steps: Number of steps, of 100 images each.
        seed: Seed of the initial weights.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(seed)
        x_ = v1.placeholder(tf.float32, [None, 784], name="x_")
        y_ = v1.placeholder(tf.float32, [None, 10], name="y_")
        y = build_old_network(x_, v1.placeholder(tf.float32, name="keep_prob"))
        loss = -tf.reduce_sum(y_ * v1.log(tf.maximum(y, 1e-30)))
        trainer = v1.train.AdamOptimizer(1e-3).minimize(loss)
        session.run(v1.global_variables_initializer())
        data = train[:]
        for _ in range(steps):
            images, labels = data.next_batch(100)
            session.run(trainer, {x_: images, y_: labels, "keep_prob:0": 0.5})
        checkpoints.make_writable_directory(folder)
        v1.train.Saver().save(session, str(folder / "model.ckpt"))
    return folder / "model.ckpt.meta"


def build_old_network(x: Any, keep_prob: Any) -> Any:
    """Builds the course's CNN with reference variables."""

    def weight(name: str, shape: list[int]) -> Any:
        initial = v1.truncated_normal_initializer(stddev=0.1)
        return v1.get_variable(name, shape, None, initial, use_resource=False)

    h = tf.reshape(x, [-1, 28, 28, 1])
    for number, (channels, filters) in enumerate([(1, 32), (32, 64)], 1):
        with v1.variable_scope(f"conv{number}"):
            h = tf.nn.conv2d(
                h, weight("w", [5, 5, channels, filters]), 1, "SAME"
            )
            h = tf.nn.relu(h + weight("b", [filters]))
            h = tf.nn.max_pool2d(h, 2, 2, "SAME")
    h = tf.reshape(h, [-1, 3136])
    with v1.variable_scope("fc1"):
        h = tf.matmul(h, weight("w", [3136, 1024])) + weight("b", [1024])
        h = tf.nn.dropout(tf.nn.relu(h), rate=1 - keep_prob)
        h = tf.identity(h, name="features")
    with v1.variable_scope("fc2"):
        h = tf.matmul(h, weight("w", [1024, 10])) + weight("b", [10])
    return tf.nn.softmax(h, name="y")


def convert(
    graph: pathlib.Path,
    mnist: datasets.Splits,
    workdir: pathlib.Path,
    *,
    inputs: str = "x_",
    outputs: str = "y",
    features: str = "fc1/features",
    constants: Mapping[str, Any] | None = None,
    max_steps: int = 200,
    seed: int = 1,
) -> Conversion:
    """Makes a new model from an old graph and evaluates both.

    Args:
        graph: A `.meta` file, a frozen graph, a SavedModel, or the folder
            that holds one of them.
        mnist: The images.
        workdir: Directory for `model.keras`.
        inputs: Name of the images in the graph, rows of 784 pixels from 0 to 1.
        outputs: Name of the probabilities.
        features: Name of the tensor that the new head reads.
        constants: Values of other placeholders. Defaults to `None`.
        max_steps: Steps of the new head, of 100 images each. Defaults to 200.
        seed: Seed of the order of the images. Defaults to 1.
    """
    # The old network, as it is.
    layer = tf1.GraphLayer(
        graph, inputs=inputs, outputs=outputs, constants=constants
    )
    print(tf1.list_graph(graph))
    images = datasets.scale_pixels(mnist.test.images.reshape(-1, 784))
    digits = layer.to_model().predict(images, verbose=0).argmax(1)
    old_accuracy = np.mean(digits == mnist.test.labels)

    # A new head on its features.
    body = tf1.GraphLayer(
        graph, inputs=inputs, outputs=features, constants=constants, name="old"
    )
    pixels = keras.Input((784,), name="images")
    is_even = keras.layers.Dense(2, "softmax", name="head")(body(pixels))
    model = keras.Model(pixels, is_even)
    model.compile(
        keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy"
    )
    batches = datasets.shuffled_batches(mnist.train, 100, seed=seed)
    model.fit(
        batches.map(lambda x, y: (x, y % 2)),
        steps_per_epoch=max_steps,
        # `shuffled_batches` has already shuffled them.
        shuffle=False,
        verbose=0,
    )
    predictions = model.predict(images, verbose=0)
    head_accuracy = np.mean(predictions.argmax(1) == mnist.test.labels % 2)

    # The file holds the graph. A graph is code, so loading it needs
    # `safe_mode=False`.
    path = workdir / "model.keras"
    with checkpoints.atomic_file(path) as partial:
        model.save(partial)
    loaded = keras.saving.load_model(path, safe_mode=False)
    is_same = np.all(loaded.predict(images, verbose=0) == predictions)
    return Conversion(
        float(old_accuracy), float(head_accuracy), bool(is_same), path
    )


def summarize(result: Conversion) -> str:
    """Returns the last line of the script."""
    return (
        f"{result.path}: the old network names {result.old_accuracy:.4f} of "
        f"the test images right, the new head {result.head_accuracy:.4f}; "
        f"loaded again, its predictions are "
        f"{'the same' if result.is_same else 'different'}."
    )


def main() -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    workdir = pathlib.Path(values.workdir)
    checkpoints.make_writable_directory(workdir)
    mnist = datasets.load_mnist(cli.data_dir())
    if values.graph is None:
        graph = write_old_program(
            workdir / "old", mnist.train, values.old_steps, values.seed
        )
    else:
        graph = pathlib.Path(values.graph)
    dropout = tf1.Phase(training=0.5, inference=1.0)
    result = convert(
        graph,
        mnist,
        workdir,
        inputs=values.inputs,
        outputs=values.outputs,
        features=values.features,
        constants={values.keep_prob: dropout} if values.keep_prob else None,
        max_steps=values.max_steps,
        seed=values.seed,
    )
    print(summarize(result))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
