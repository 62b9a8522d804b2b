"""Programs as people wrote them for TensorFlow 1, one function each.

A program builds its graph in the default one and says what in it is what. The
modes are those that a `.meta` of the time may be of: variables as references
or as resources, control flow of the first or of the second kind.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


class Mode(NamedTuple):
    """Which kind of variables and of control flow a program uses."""

    variables: str
    control_flow: str

    def __str__(self) -> str:
        return f"{self.variables}-{self.control_flow}"


MODES = [Mode(v, c) for v in ("ref", "resource") for c in ("v1", "v2")]


@dataclasses.dataclass(frozen=True)
class Built:
    """What a program has put into the default graph.

    Args:
        inputs: The tensors that are fed with data.
        output: What it predicts.
        arrays: One batch of data for the inputs.
        feeds: Values of other placeholders, in training and in inference.
    """

    inputs: list[Any]
    output: Any
    arrays: list[np.ndarray]
    feeds: dict[Any, tuple[Any, Any]] = dataclasses.field(default_factory=dict)


Program = Callable[[], Built]


@contextlib.contextmanager
def default_graph(mode: Mode, seed: int = 1) -> Iterator[tf.Graph]:
    """Opens an empty graph in which programs are written in a mode."""
    was_second = v1.control_flow_v2_enabled()
    set_control_flow(second=mode.control_flow == "v2")
    try:
        with tf.Graph().as_default() as graph:
            v1.set_random_seed(seed)
            with v1.variable_scope(
                v1.get_variable_scope(),
                use_resource=mode.variables == "resource",
            ):
                yield graph
    finally:
        set_control_flow(second=was_second)


def set_control_flow(*, second: bool) -> None:
    if second:
        v1.enable_control_flow_v2()
    else:
        v1.disable_control_flow_v2()


def weight(name: str, *shape: int, trainable: bool = True) -> Any:
    return v1.get_variable(
        name,
        shape,
        initializer=v1.truncated_normal_initializer(stddev=0.3),
        trainable=trainable,
    )


def filled(name: str, size: int, value: float, *, trainable: bool) -> Any:
    return v1.get_variable(
        name,
        [size],
        initializer=v1.constant_initializer(value),
        trainable=trainable,
    )


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def rows(width: int) -> Any:
    return v1.placeholder(tf.float32, [None, width], name="x")


# The course


def perceptron() -> Built:
    x = v1.placeholder(tf.float32, [None, 784], name="x_")
    W = v1.get_variable("W", initializer=tf.constant(data(784, 10) / 30))
    b = v1.get_variable("b", initializer=tf.zeros([10]))
    y = tf.nn.softmax(tf.matmul(x, W) + b, name="y")
    return Built([x], y, [data(8, 784)])


def cnn() -> Built:
    x = v1.placeholder(tf.float32, [None, 784], name="x_")
    keep_prob = v1.placeholder(tf.float32, name="keep_prob")
    h = tf.reshape(x, [-1, 28, 28, 1])
    for scope, before, after in (("conv1", 1, 4), ("conv2", 4, 8)):
        with v1.variable_scope(scope):
            h = tf.nn.conv2d(h, weight("w", 5, 5, before, after), 1, "SAME")
            h = tf.nn.relu(h + weight("b", after))
            h = v1.nn.max_pool(h, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    h = tf.reshape(h, [-1, 7 * 7 * 8])
    h = tf.nn.relu(tf.matmul(h, weight("fc1/w", 392, 16)) + weight("fc1/b", 16))
    h = v1.nn.dropout(h, keep_prob=keep_prob)
    y = tf.nn.softmax(
        tf.matmul(h, weight("fc2/w", 16, 10)) + weight("fc2/b", 10), name="y"
    )
    # Kept whole here: what dropout drops is random.
    return Built([x], y, [data(8, 784)], {keep_prob: (1.0, 1.0)})


# One feature each


def reused_scopes() -> Built:
    x = rows(6)

    def layer(h: Any, *, reuse: bool) -> Any:
        with v1.variable_scope("shared", reuse=reuse):
            return tf.tanh(tf.matmul(h, weight("w", 6, 6)) + weight("b", 6))

    h = layer(layer(x, reuse=False), reuse=True)
    numbers = tf.cast(tf.clip_by_value(x[:, 0] * 3 + 5, 0, 19), tf.int32)
    h += tf.nn.embedding_lookup(weight("embedding", 20, 6), numbers)
    return Built([x], tf.identity(h, name="out"), [data(8, 6)])


def while_loop() -> Built:
    x, w, b = rows(6), weight("w", 6, 6), weight("b", 6)
    rounds = v1.placeholder_with_default(4, [], name="rounds")
    _, h = tf.while_loop(
        lambda i, h: i < rounds,
        lambda i, h: (i + 1, tf.tanh(tf.matmul(h, w) + b)),
        [0, x],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 6])],
    )
    return Built([x], tf.identity(h, name="out"), [data(8, 6)])


def condition() -> Built:
    x, w, b = rows(6), weight("w", 6, 6), weight("b", 6)
    h = v1.cond(
        tf.reduce_sum(x) > 0,
        lambda: tf.tanh(tf.matmul(x, w)) * 2 + b,
        lambda: tf.nn.relu(tf.matmul(x, w) + b),
    )
    return Built([x], tf.identity(h, name="out"), [data(8, 6)])


def nested_loops() -> Built:
    x, w, b = rows(6), weight("w", 6, 6), weight("b", 6)
    rounds = v1.placeholder_with_default(4, [], name="rounds")
    shapes = [tf.TensorShape([]), tf.TensorShape([None, 6])]

    def body(i: Any, h: Any) -> Any:
        h = v1.cond(
            tf.equal(i % 2, 0),
            lambda: tf.tanh(tf.matmul(h, w)),
            lambda: v1.cond(i > 2, lambda: h - b, lambda: h + b),
        )
        _, h = tf.while_loop(
            lambda j, q: j < 2,
            lambda j, q: (j + 1, q * 0.9 + tf.cast(i, tf.float32) * b),
            [0, h],
            shape_invariants=shapes,
        )
        return i + 1, h

    _, h = tf.while_loop(
        lambda i, h: i < rounds, body, [0, x], shape_invariants=shapes
    )
    return Built([x], tf.identity(h, name="out"), [data(8, 6)])


def batch_norm_fused() -> Built:
    """Normalises as slim did: conditions, and updates beside the outputs."""
    x = v1.placeholder(tf.float32, [None, 4, 4, 3], name="x")
    is_training = v1.placeholder(tf.bool, [], name="is_training")
    h = fused(x, is_training, "bn", 3)
    return Built(
        [x],
        tf.identity(h, name="out"),
        [data(8, 4, 4, 3) * 2 + 1],
        {is_training: (True, False)},
    )


def fused(x: Any, is_training: Any, scope: str, size: int) -> Any:
    with v1.variable_scope(scope):
        gamma = filled("gamma", size, 1.0, trainable=True)
        beta = filled("beta", size, 0.0, trainable=True)
        mean = filled("moving_mean", size, 0.0, trainable=False)
        variance = filled("moving_variance", size, 1.0, trainable=False)
        h, batch_mean, batch_variance = v1.cond(
            is_training,
            lambda: v1.nn.fused_batch_norm(x, gamma, beta, epsilon=1e-3)[:3],
            lambda: v1.nn.fused_batch_norm(
                x, gamma, beta, mean, variance, 1e-3, is_training=False
            )[:3],
        )
        rate = v1.cond(
            is_training, lambda: tf.constant(0.1), lambda: tf.constant(0.0)
        )
        for moving, batch in ((mean, batch_mean), (variance, batch_variance)):
            update = v1.assign_sub(moving, (moving - batch) * rate)
            v1.add_to_collection(v1.GraphKeys.UPDATE_OPS, update.op)
        return h


def batch_norm_by_hand() -> Built:
    """Normalises with the update in the path of the outputs."""
    x = v1.placeholder(tf.float32, [None, 4, 4, 3], name="x")
    is_training = v1.placeholder(tf.bool, [], name="is_training")
    gamma = filled("bn/gamma", 3, 1.0, trainable=True)
    beta = filled("bn/beta", 3, 0.0, trainable=True)
    mean = filled("bn/mean", 3, 0.0, trainable=False)
    variance = filled("bn/variance", 3, 1.0, trainable=False)
    batch_mean, batch_variance = tf.nn.moments(x, [0, 1, 2])

    def with_updates() -> Any:
        updates = [
            v1.assign(moving, moving * 0.9 + batch * 0.1)
            for moving, batch in (
                (mean, batch_mean),
                (variance, batch_variance),
            )
        ]
        with tf.control_dependencies(updates):
            return tf.nn.batch_normalization(
                x, batch_mean, batch_variance, beta, gamma, 1e-3
            )

    h = v1.cond(
        is_training,
        with_updates,
        lambda: tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3),
    )
    return Built(
        [x],
        tf.identity(h, name="out"),
        [data(8, 4, 4, 3) * 2 + 1],
        {is_training: (True, False)},
    )


def recurrent() -> Built:
    """Reads and writes TensorArrays in a loop, as `dynamic_rnn` did."""
    x = v1.placeholder(tf.float32, [None, 5, 6], name="x")
    w, b = weight("rnn/w", 12, 6), weight("rnn/b", 6)
    steps = tf.TensorArray(tf.float32, 5).unstack(tf.transpose(x, [1, 0, 2]))

    def body(t: Any, h: Any, out: Any) -> Any:
        h = tf.tanh(tf.matmul(tf.concat([steps.read(t), h], 1), w) + b)
        return t + 1, h, out.write(t, h)

    _, h, out = tf.while_loop(
        lambda t, *_: t < 5,
        body,
        [0, tf.zeros_like(x[:, 0]), tf.TensorArray(tf.float32, 5)],
    )
    h += tf.reduce_sum(out.stack(), 0)
    return Built([x], tf.identity(h, name="out"), [data(8, 5, 6)])


def partitioned() -> Built:
    """Keeps one matrix in three variables, and saves it as one."""
    x = rows(6)
    w = v1.get_variable(
        "w",
        [6, 4],
        initializer=v1.truncated_normal_initializer(stddev=0.3),
        partitioner=v1.fixed_size_partitioner(3),
    )
    h = tf.matmul(x, tf.convert_to_tensor(w))
    return Built([x], tf.tanh(h, name="out"), [data(8, 6)])


def regularised() -> Built:
    x = rows(6)
    w, b = weight("w", 6, 4), weight("b", 4)
    v1.add_to_collection(
        v1.GraphKeys.REGULARIZATION_LOSSES, 0.1 * tf.nn.l2_loss(w)
    )
    return Built([x], tf.tanh(tf.matmul(x, w) + b, name="out"), [data(8, 6)])


def scatter_updates() -> Built:
    """Counts in one variable what goes through it, by scattered updates."""
    x, w = rows(6), weight("w", 6, 4)
    table = v1.get_variable(
        "table", initializer=tf.ones([6, 4]), trainable=False
    )
    numbers = tf.constant([1, 3, 3])
    h = tf.matmul(x, w)
    sums = tf.reduce_sum(h, 0)
    op = v1.scatter_add(table, numbers, tf.stack([sums] * 3))
    with tf.control_dependencies([op]):
        op = v1.scatter_mul(table, [1, 1], tf.fill([2, 4], 0.5))
    with tf.control_dependencies([op]):
        op = v1.scatter_update(table, [0], sums[tf.newaxis])
    with tf.control_dependencies([op]):
        op = v1.scatter_nd_sub(table, [[2], [4]], tf.stack([sums, sums]))
    v1.add_to_collection(
        v1.GraphKeys.UPDATE_OPS, op if hasattr(op, "node_def") else op.op
    )
    # A row that nothing changes: who reads the others first is open.
    h = h + table[5]
    return Built([x], tf.tanh(h, name="out"), [data(8, 6)])


# What people really used


def residual_network() -> Built:
    """Two residual blocks with batch normalisation, as in many a paper."""
    x = v1.placeholder(tf.float32, [None, 8, 8, 3], name="images")
    is_training = v1.placeholder(tf.bool, [], name="is_training")

    def convolution(h: Any, scope: str, size: int, stride: int) -> Any:
        with v1.variable_scope(scope):
            w = weight("kernel", 3, 3, int(h.shape[-1]), size)
            v1.add_to_collection(
                v1.GraphKeys.REGULARIZATION_LOSSES, 1e-3 * tf.nn.l2_loss(w)
            )
            h = tf.nn.conv2d(h, w, stride, "SAME")
            return fused(h, is_training, "BatchNorm", size)

    h = tf.nn.relu(convolution(x, "stem", 4, 1))
    for number, (size, stride) in enumerate([(4, 1), (8, 2)], 1):
        with v1.variable_scope(f"block{number}"):
            inner = tf.nn.relu(convolution(h, "conv1", size, stride))
            inner = convolution(inner, "conv2", size, 1)
            if size != int(h.shape[-1]):
                h = convolution(h, "shortcut", size, stride)
            h = tf.nn.relu(h + inner)
    h = tf.reduce_mean(h, [1, 2])
    with v1.variable_scope("logits"):
        h = tf.matmul(h, weight("w", 8, 5)) + weight("b", 5)
    return Built(
        [x],
        tf.nn.softmax(h, name="predictions"),
        [data(8, 8, 8, 3)],
        {is_training: (True, False)},
    )


def lstm_classifier() -> Built:
    """An LSTM over sequences of different lengths, as `dynamic_rnn` ran it."""
    x = v1.placeholder(tf.float32, [None, None, 3], name="x")
    lengths = v1.placeholder(tf.int32, [None], name="lengths")
    units = 4
    with v1.variable_scope("rnn/basic_lstm_cell"):
        w, b = weight("kernel", 3 + units, 4 * units), weight("bias", 4 * units)
    batch, time = tf.shape(x)[0], tf.shape(x)[1]
    steps = tf.TensorArray(tf.float32, time, element_shape=[None, 3]).unstack(
        tf.transpose(x, [1, 0, 2])
    )
    zeros = tf.zeros(tf.stack([batch, units]))

    def body(t: Any, c: Any, h: Any, out: Any) -> Any:
        gates = tf.matmul(tf.concat([steps.read(t), h], 1), w) + b
        i, j, f, o = tf.split(gates, 4, 1)
        new_c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
        new_h = tf.tanh(new_c) * tf.sigmoid(o)
        done = t >= lengths
        out = out.write(t, v1.where(done, zeros, new_h))
        return (
            t + 1,
            v1.where(done, c, new_c),
            v1.where(done, h, new_h),
            out,
        )

    out = tf.TensorArray(tf.float32, time, element_shape=[None, units])
    _, _, h, out = tf.while_loop(
        lambda t, *_: t < time, body, [0, zeros, zeros, out]
    )
    h += tf.reduce_mean(out.stack(), 0)
    with v1.variable_scope("softmax"):
        h = tf.matmul(h, weight("w", units, 3)) + weight("b", 3)
    return Built(
        [x, lengths],
        tf.nn.softmax(h, name="probabilities"),
        [data(8, 6, 3), np.array([6, 5, 4, 3, 2, 1, 6, 6], "int32")],
    )


def text_cnn() -> Built:
    """Convolutions over words, with an embedding and dropout (Kim, 2014)."""
    words = v1.placeholder(tf.int32, [None, 9], name="input_x")
    keep_prob = v1.placeholder(tf.float32, name="dropout_keep_prob")
    with v1.variable_scope("embedding"):
        h = tf.nn.embedding_lookup(weight("W", 30, 5), words)[..., tf.newaxis]
    pooled = []
    for size in (2, 3):
        with v1.variable_scope(f"conv-maxpool-{size}"):
            c = tf.nn.conv2d(h, weight("W", size, 5, 1, 4), 1, "VALID")
            c = tf.nn.relu(tf.nn.bias_add(c, weight("b", 4)))
            pooled.append(
                v1.nn.max_pool(c, [1, 10 - size, 1, 1], [1, 1, 1, 1], "VALID")
            )
    h = tf.reshape(tf.concat(pooled, 3), [-1, 8])
    h = v1.nn.dropout(h, keep_prob)
    with v1.variable_scope("output"):
        w, b = weight("W", 8, 2), weight("b", 2)
        h = v1.nn.xw_plus_b(h, w, b, name="scores")
    numbers = np.random.default_rng(0).integers(30, size=(8, 9))
    return Built(
        [words],
        tf.nn.softmax(h, name="probabilities"),
        [numbers.astype("int32")],
        {keep_prob: (1.0, 1.0)},
    )


ALL: list[Program] = [
    perceptron,
    cnn,
    reused_scopes,
    while_loop,
    condition,
    nested_loops,
    batch_norm_fused,
    batch_norm_by_hand,
    recurrent,
    partitioned,
    regularised,
    scatter_updates,
    residual_network,
    lstm_classifier,
    text_cnn,
]
