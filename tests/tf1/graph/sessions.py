"""Runs programs in a TensorFlow 1 session, and saves their files."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.tf1 import Phase
from tests.tf1.graph.programs import Built
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.programs import Program
from tests.tf1.graph.programs import default_graph

v1 = tf.compat.v1
RATE = 0.05
STEPS = 20


@dataclasses.dataclass(frozen=True)
class Old:
    """The files of a program, and what its session computed.

    Args:
        prefix: Prefix of the checkpoint; the `.meta` file is next to it.
        inputs: Names of the inputs.
        output: Name of the output.
        constants: As `GraphLayer` takes them.
        arrays: Data for the inputs.
        labels: Targets of the training, with the mean squared error.
        predicted: The output with the saved values, and after `STEPS` steps.
        gradients: Gradients of the loss in training, by variable.
        values: Values of all variables, at the start and after `STEPS` steps.
    """

    prefix: Path
    inputs: list[str]
    output: str
    constants: dict[str, Any]
    arrays: list[np.ndarray]
    labels: np.ndarray
    predicted: tuple[np.ndarray, np.ndarray]
    gradients: dict[str, np.ndarray]
    values: tuple[dict[str, np.ndarray], dict[str, np.ndarray]]


def run(program: Program, mode: Mode, folder: Path) -> Old:
    """Runs a program in a session, and saves it before it is trained."""
    with default_graph(mode):
        built = program()
        y = v1.placeholder(tf.float32, built.output.shape, name="labels")
        loss = tf.reduce_mean(tf.square(built.output - y))
        regularisation = v1.losses.get_regularization_losses()
        loss = tf.add_n([loss, *regularisation])
        names = [one.op.name for one in v1.trainable_variables()]
        gradients = tf.gradients(loss, v1.trainable_variables())
        updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(updates):
            trainer = v1.train.GradientDescentOptimizer(RATE).minimize(loss)
        saver = v1.train.Saver()
        everything = v1.global_variables()
        initial = v1.global_variables_initializer()
        with v1.Session() as session:
            session.run(initial)
            prefix = folder / "model.ckpt"
            saver.save(session, str(prefix))
            inference, training = make_feeds(built)
            first = session.run(built.output, inference)
            before = read_variables(session, everything)
            labels = (
                np.random.default_rng(9).random(first.shape).astype("float32")
            )
            found = session.run(
                [tf.convert_to_tensor(one) for one in gradients],
                {**training, y: labels},
            )
            # Gradients may have run updates on their way.
            saver.restore(session, str(prefix))
            for _ in range(STEPS):
                session.run(trainer, {**training, y: labels})
            last = session.run(built.output, inference)
            after = read_variables(session, everything)
    return Old(
        prefix,
        [one.op.name for one in built.inputs],
        built.output.op.name,
        {one.op.name: Phase(*both) for one, both in built.feeds.items()},
        built.arrays,
        labels,
        (first, last),
        dict(zip(names, found, strict=True)),
        (before, after),
    )


def read_variables(session: Any, variables: list[Any]) -> dict[str, np.ndarray]:
    return {one.op.name: session.run(one) for one in variables}


def make_feeds(built: Built) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Returns the feeds of inference and of training, without labels."""
    inputs = dict(zip(built.inputs, built.arrays, strict=True))
    inference = {one: values[1] for one, values in built.feeds.items()}
    training = {one: values[0] for one, values in built.feeds.items()}
    return {**inputs, **inference}, {**inputs, **training}
