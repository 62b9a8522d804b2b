"""The course's two graphs in TensorFlow 1, as the numbers to agree with.

Built by `tf.compat.v1` in a graph of their own, with TensorFlow 1's reference
variables and the course's own formulas, `y_ * log(y)` included: nothing in
them goes through Keras.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
Optimizer = Callable[[], Any]
# Of the initial weights. A graph of its own does not take Keras' seed, and of
# weights that differ from run to run, some miss the tolerance of a test.
SEED = 1


@dataclasses.dataclass(frozen=True)
class CourseGraph:
    """A graph with its session, after `global_variables_initializer`.

    Close the session with `contextlib.closing`: in a `with session:` its graph
    would be the default one, and Keras would not run eagerly.

    `variables` are in the order of a Keras model's `weights`: the weight and
    the bias of each layer, from the first to the last.
    """

    session: Any
    x: Any
    labels: Any
    variables: list[Any]
    logits: Any
    outputs: Any
    loss: Any
    gradients: list[Any]
    trainer: Any

    def run(self, fetches: Any, x: np.ndarray, labels: np.ndarray) -> Any:
        """Returns the values of `fetches` for one batch."""
        return self.session.run(fetches, {self.x: x, self.labels: labels})

    def train(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Updates the weights once; returns the loss before the update."""
        loss, _ = self.run([self.loss, self.trainer], x, labels)
        return float(loss)

    def weights(self) -> list[np.ndarray]:
        """Returns the values of the variables."""
        values: list[np.ndarray] = self.session.run(self.variables)
        return values

    def set_weights(self, values: Sequence[np.ndarray]) -> None:
        """Gives the variables the weights of a Keras model."""
        for variable, value in zip(self.variables, values, strict=True):
            initial = variable.initializer.inputs[1]
            self.session.run(variable.initializer, {initial: value})


def perceptron(dtype: tf.DType = tf.float32) -> CourseGraph:
    """Builds lesson 1: softmax(x W + b), the mean of elements, SGD 0.01."""
    with tf.Graph().as_default():
        x = v1.placeholder(dtype, [None, 784], name="x_")
        labels = v1.placeholder(dtype, [None, 10], name="y_")
        W = variable(tf.zeros([784, 10], dtype), "W")
        b = variable(tf.zeros([10], dtype), "b")
        logits = tf.matmul(x, W) + b
        outputs = tf.nn.softmax(logits)
        return finished(
            x=x,
            labels=labels,
            variables=[W, b],
            logits=logits,
            outputs=outputs,
            loss=-tf.reduce_mean(labels * v1.log(outputs)),
            optimizer=lambda: v1.train.GradientDescentOptimizer(0.01),
        )


def cnn(dtype: tf.DType = tf.float32) -> CourseGraph:
    """Builds lesson 3 without dropout: the sum over the batch, Adam 1e-4."""
    with tf.Graph().as_default():
        v1.set_random_seed(SEED)
        x = v1.placeholder(dtype, [None, 784], name="x_")
        labels = v1.placeholder(dtype, [None, 10], name="y_")
        shapes = [
            ([5, 5, 1, 32], [32]),
            ([5, 5, 32, 64], [64]),
            ([3136, 1024], [1024]),
            ([1024, 10], [10]),
        ]
        layers = [
            (
                variable(
                    tf.random.truncated_normal(w, stddev=0.1, dtype=dtype)
                ),
                variable(tf.zeros(b, dtype)),
            )
            for w, b in shapes
        ]
        h = tf.reshape(x, [-1, 28, 28, 1])
        for w, b in layers[:2]:
            h = tf.nn.relu(v1.nn.conv2d(h, w, [1, 1, 1, 1], "SAME") + b)
            h = v1.nn.max_pool(h, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
        h = tf.reshape(h, [-1, 7 * 7 * 64])
        h = tf.nn.relu(tf.matmul(h, layers[2][0]) + layers[2][1])
        logits = tf.matmul(h, layers[3][0]) + layers[3][1]
        outputs = tf.nn.softmax(logits)
        return finished(
            x=x,
            labels=labels,
            variables=[one for layer in layers for one in layer],
            logits=logits,
            outputs=outputs,
            loss=-tf.reduce_sum(labels * v1.log(outputs)),
            optimizer=lambda: adam(1e-4, dtype),
        )


def adam(learning_rate: float, dtype: tf.DType) -> Any:
    """Returns TensorFlow 1's Adam with hyper-parameters of `dtype`.

    From plain numbers TensorFlow 1 makes float32 tensors, and float32 powers
    of beta, whatever the type of the weights. In float64 it would then follow
    a formula with other numbers than those written. So it is given tensors.
    """
    rate, beta_1, beta_2, epsilon = (
        tf.constant(value, dtype) for value in (learning_rate, 0.9, 0.999, 1e-8)
    )
    return v1.train.AdamOptimizer(rate, beta_1, beta_2, epsilon)


def variable(initial: Any, name: str | None = None) -> Any:
    """Returns a variable of the kind that TensorFlow 1 made."""
    return v1.Variable(initial, name=name, use_resource=False)


def finished(*, optimizer: Optimizer, **parts: Any) -> CourseGraph:
    """Adds gradients and trainer to the graph, and starts its session."""
    pairs = optimizer().compute_gradients(parts["loss"], parts["variables"])
    trainer = optimizer().minimize(parts["loss"], var_list=parts["variables"])
    init = v1.global_variables_initializer()
    session = v1.Session(graph=v1.get_default_graph())
    session.run(init)
    return CourseGraph(
        session=session,
        gradients=[gradient for gradient, _ in pairs],
        trainer=trainer,
        **parts,
    )


def assert_agree(
    actual: Any, expected: Any, *, rtol: float = 0.0, atol: float = 0.0
) -> None:
    """Raises unless two arrays agree, are finite, and are not all zero.

    The difference is measured in the largest absolute value, against `atol`
    plus `rtol` times that of `expected`: single elements near zero have no
    relative precision of their own.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    # NaN is a difference here, though NumPy's comparisons may skip it.
    assert np.isfinite(actual).all()
    assert np.isfinite(expected).all()
    size = np.abs(expected).max()
    assert size > 0
    difference = np.abs(actual - expected).max()
    assert difference <= atol + rtol * size, (difference, size)
