"""The TensorFlow 1 way: a graph, a session and `feed_dict`.

Written from the course's description: its networks, its losses and its
optimizers. Only the logarithm is protected from NaN, so the loop continues.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from benchmarks.peers.work import HIDDEN
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call
from keras_port import datasets

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Network:
    """The graph, and the tensors that a session runs and feeds."""

    graph: Any
    x: Any
    y: Any
    keep_prob: Any
    loss: Any
    accuracy: Any
    train: Any
    init: Any


def build_network(work: Work) -> Network:
    """Builds the graph of a network."""
    with tf.Graph().as_default() as graph:
        v1.set_random_seed(work.seed)
        x = v1.placeholder(tf.float32, [None, 784])
        y = v1.placeholder(tf.float32, [None, 10])
        keep_prob = v1.placeholder(tf.float32)
        recipe = work.recipe
        if work.model == "cnn":
            outputs = cnn_outputs(x, keep_prob)
        elif work.model == "mlp":
            outputs = mlp_outputs(x)
        else:
            outputs = perceptron_outputs(x)
        terms = y * tf.math.log(tf.maximum(outputs, 1e-30))
        if recipe.loss == "mean_over_elements":
            loss = -tf.reduce_mean(terms)
        else:
            losses = -tf.reduce_sum(terms, axis=1)
            is_sum = recipe.loss == "sum"
            loss = (tf.reduce_sum if is_sum else tf.reduce_mean)(losses)
        optimizers = {
            "adam": v1.train.AdamOptimizer,
            "sgd": v1.train.GradientDescentOptimizer,
        }
        optimizer = optimizers[recipe.optimizer](recipe.learning_rate)
        correct = tf.equal(tf.argmax(outputs, 1), tf.argmax(y, 1))
        return Network(
            graph=graph,
            x=x,
            y=y,
            keep_prob=keep_prob,
            loss=loss,
            accuracy=tf.reduce_mean(tf.cast(correct, tf.float32)),
            train=optimizer.minimize(loss),
            init=v1.global_variables_initializer(),
        )


def perceptron_outputs(x: tf.Tensor) -> tf.Tensor:
    """Returns the probabilities of lesson 1."""
    weight = v1.Variable(tf.zeros([784, 10]))
    return tf.nn.softmax(x @ weight + v1.Variable(tf.zeros([10])))


def weight(*shape: int) -> tf.Variable:
    """Returns random initial weights."""
    return v1.Variable(tf.random.truncated_normal(shape, stddev=0.1))


def bias(size: int) -> tf.Variable:
    """Returns biases of 0."""
    return v1.Variable(tf.zeros([size]))


def mlp_outputs(x: tf.Tensor) -> tf.Tensor:
    """Returns the probabilities of the network of two hidden layers."""
    h = x
    for before in (784, HIDDEN):
        h = tf.nn.relu(h @ weight(before, HIDDEN) + bias(HIDDEN))
    return tf.nn.softmax(h @ weight(HIDDEN, 10) + bias(10))


def cnn_outputs(x: tf.Tensor, keep_prob: tf.Tensor) -> tf.Tensor:
    """Returns the probabilities of lesson 3."""
    h = tf.reshape(x, [-1, 28, 28, 1])
    for before, after in ((1, 32), (32, 64)):
        h = tf.nn.conv2d(h, weight(5, 5, before, after), 1, "SAME")
        h = tf.nn.max_pool2d(tf.nn.relu(h + bias(after)), 2, 2, "SAME")
    h = tf.reshape(h, [-1, 3136])
    h = tf.nn.relu(h @ weight(3136, 1024) + bias(1024))
    h = tf.nn.dropout(h, rate=1 - keep_prob)
    return tf.nn.softmax(h @ weight(1024, 10) + bias(10))


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures the course's loop, in float32."""
    net = build_network(work)
    session = v1.Session(graph=net.graph)
    session.run(net.init)
    train = datasets.ImageSplit(*data.train, seed=work.seed)

    def loop(steps: int) -> None:
        for _ in range(steps):
            x, y = train.next_batch(work.batch_size)
            feeds = {net.x: x, net.y: y, net.keep_prob: 0.5}
            session.run(net.train, feeds)

    loop(min(work.steps, 5))
    return lambda: time_call(lambda: loop(work.steps))
