"""Small models whose graphs the tests look at."""

import keras
import numpy as np
import tensorflow as tf


class Subclassed(keras.Model):
    """A dense layer twice, dropout, normalization and a weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = keras.layers.Dense(3, activation="relu", name="first")
        self.shared = keras.layers.Dense(3)
        self.last = keras.layers.Dense(3)
        self.dropout = keras.layers.Dropout(0.5, seed=1)
        self.normalization = keras.layers.BatchNormalization()
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = self.shared(self.shared(self.first(x)))
        x = self.normalization(self.dropout(self.last(x)))
        return x * self.scale


class Block(keras.layers.Layer):
    """A layer with layers inside, one of them in a list."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.inner = [keras.layers.Dense(2, activation="tanh")]
        self.outer = keras.layers.Dense(2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.inner[0].build(input_shape)
        self.outer.build((None, 2))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.outer(self.inner[0](x))


def sequential() -> keras.Sequential:
    """Returns two dense layers and a softmax, with Keras' own names."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, activation="relu"),
            keras.layers.Dense(3),
            keras.layers.Softmax(),
        ]
    )


def functional() -> keras.Model:
    """Returns a model with two inputs, an addition and two outputs."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    dense = keras.layers.Dense(2)
    total = dense(a) + dense(b)
    return keras.Model({"a": a, "b": b}, [Block("block")(total), total])


def subclassed() -> keras.Model:
    """Returns a built `Subclassed`."""
    model = Subclassed()
    model(batch())
    return model


def batch(size: int = 5) -> np.ndarray:
    """Returns inputs of shape (size, 4)."""
    return np.random.default_rng(1).normal(size=(size, 4)).astype("float32")
