"""A TensorFlow 1 network of which only the files are left, in Keras 3.

Without --meta the script first is the old program: it trains the course's CNN
in a TensorFlow 1 session, saves it, and forgets the code. What follows knows
nothing but the files: it lists the graph, makes a layer of it, evaluates it,
trains a new head on its features for another question (is the class even?),
saves the whole, and loads it again.
"""

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
OLD_FOLDER = "old"
SHAPES = (([5, 5, 1, 32], [32]), ([5, 5, 32, 64], [64]))


@dataclasses.dataclass(frozen=True)
class Names:
    """What in the old graph is what.

    Args:
        inputs: The images, rows of 784 pixels from 0 to 1.
        outputs: The probabilities of the classes.
        features: What the new head reads.
        constants: The values of other placeholders.
    """

    inputs: str = "x_"
    outputs: str = "y"
    features: str = "fc1/features"
    constants: dict[str, tf1.Phase] = dataclasses.field(
        default_factory=lambda: {
            "keep_prob": tf1.Phase(training=0.5, inference=1.0)
        }
    )


@dataclasses.dataclass(frozen=True)
class Converted:
    """What a conversion has led to.

    Args:
        old_accuracy: Of the old network, on the test images.
        head_accuracy: Of the new head, on the test images.
        is_same: Whether the loaded model predicts the same bits.
        path: The file of the new model.
    """

    old_accuracy: float
    head_accuracy: float
    is_same: bool
    path: pathlib.Path


def define_flags() -> None:
    """Defines the flags of this script."""
    names = Names()
    cli.define_data_flag()
    flags.DEFINE_string("workdir", "runs/tf1_graph", "Folder of the files.")
    flags.DEFINE_string(
        "meta",
        None,
        "A .meta file of a network for rows of 784 pixels, its checkpoint "
        "beside it. Without it: the course's CNN, trained by this script.",
    )
    flags.DEFINE_string("inputs", names.inputs, "Name of the images.")
    flags.DEFINE_string("outputs", names.outputs, "Name of the probabilities.")
    flags.DEFINE_string(
        "features", names.features, "Name of what the new head reads."
    )
    flags.DEFINE_string(
        "keep_prob",
        "keep_prob",
        "Name of the placeholder of dropout; empty if there is none.",
    )
    flags.DEFINE_integer(
        "old_steps", 200, "Steps in the session, 100 images each.", 1
    )
    flags.DEFINE_integer(
        "max_steps", 200, "Steps of the new head, 100 images each.", 1
    )
    flags.DEFINE_integer("seed", 1, "Of the order of the data.", lower_bound=0)


def write_old_program(
    folder: pathlib.Path, train: datasets.ImageSplit, steps: int, seed: int
) -> None:
    """Trains the course's CNN as in TensorFlow 1, and saves it.

    Args:
        folder: Where to.
        train: The images.
        steps: Of 100 images each.
        seed: Of the initial weights.
    """
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(seed)
        x_ = v1.placeholder(tf.float32, [None, 784], name="x_")
        y_ = v1.placeholder(tf.float32, [None, 10], name="y_")
        y = old_network(x_, v1.placeholder(tf.float32, name="keep_prob"))
        loss = -tf.reduce_sum(y_ * v1.log(tf.maximum(y, 1e-30)))
        trainer = v1.train.AdamOptimizer(1e-3).minimize(loss)
        session.run(v1.global_variables_initializer())
        data = train[:]
        for _ in range(steps):
            images, labels = data.next_batch(100)
            session.run(trainer, {x_: images, y_: labels, "keep_prob:0": 0.5})
        checkpoints.make_writable_directory(folder)
        v1.train.Saver().save(session, str(folder / "model.ckpt"))


def old_network(x: Any, keep_prob: Any) -> Any:
    """Builds the course's CNN, its variables as references."""

    def weight(name: str, shape: list[int]) -> Any:
        initial = v1.truncated_normal_initializer(stddev=0.1)
        return v1.get_variable(name, shape, None, initial, use_resource=False)

    h = tf.reshape(x, [-1, 28, 28, 1])
    for number, (kernel, bias) in enumerate(SHAPES, 1):
        with v1.variable_scope(f"conv{number}"):
            h = tf.nn.conv2d(h, weight("w", kernel), 1, "SAME")
            h = tf.nn.relu(h + weight("b", bias))
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
    meta: pathlib.Path,
    splits: datasets.Splits,
    workdir: pathlib.Path,
    *,
    names: Names,
    max_steps: int,
    seed: int,
) -> Converted:
    """Makes a new model of an old one, and says how good both are.

    Args:
        meta: The `.meta` file.
        splits: The images.
        workdir: Folder for `model.keras`.
        names: What in the graph is what.
        max_steps: Steps of 100 images for the new head.
        seed: Of the order of the images.
    """
    layer = tf1.GraphLayer(
        meta,
        inputs=names.inputs,
        outputs=names.outputs,
        constants=names.constants,
    )
    test = datasets.scale_pixels(splits.test.images.reshape(-1, 784))
    model = with_new_head(meta, names)
    print(tf1.list_graph(meta))
    old_accuracy = float(
        np.mean(predicted(layer.to_model(), test) == splits.test.labels)
    )
    batches = datasets.shuffled_batches(splits.train, 100, seed=seed)
    model.fit(
        batches.map(lambda x, y: (x, y % 2)),
        steps_per_epoch=max_steps,
        # They come in the order of the seed.
        shuffle=False,
        verbose=0,
    )
    path = workdir / "model.keras"
    with checkpoints.atomic_file(path) as partial:
        model.save(partial)
    # The file holds a graph, which is code, and we have just made it.
    loaded = keras.saving.load_model(path, safe_mode=False)
    before, after = (m.predict(test, verbose=0) for m in (model, loaded))
    is_even = np.mean(before.argmax(1) == splits.test.labels % 2)
    return Converted(
        old_accuracy, float(is_even), bool(np.all(before == after)), path
    )


def with_new_head(meta: pathlib.Path, names: Names) -> keras.Model:
    """Returns a compiled model of the old features and a new head."""
    features = tf1.GraphLayer(
        meta,
        inputs=names.inputs,
        outputs=names.features,
        constants=names.constants,
        name="old",
    )
    inputs = keras.Input((784,), name="images")
    outputs = keras.layers.Dense(2, "softmax", name="head")(features(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy"
    )
    return model


def predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Returns the class of each image."""
    classes: np.ndarray = model.predict(images, verbose=0).argmax(1)
    return classes


def summary(result: Converted) -> str:
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
    splits = datasets.load_mnist(cli.data_dir())
    meta = values.meta
    if meta is None:
        folder = workdir / OLD_FOLDER
        write_old_program(folder, splits.train, values.old_steps, values.seed)
        meta = folder / "model.ckpt.meta"
    constants = {}
    if values.keep_prob:
        constants[values.keep_prob] = tf1.Phase(training=0.5, inference=1.0)
    names = Names(values.inputs, values.outputs, values.features, constants)
    result = convert(
        pathlib.Path(meta),
        splits,
        workdir,
        names=names,
        max_steps=values.max_steps,
        seed=values.seed,
    )
    print(summary(result))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
