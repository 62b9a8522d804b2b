"""Small TensorFlow 1 programs, and their counterparts in Keras."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port.training import GradientModel

v1 = tf.compat.v1
GOLDEN = Path(__file__).parent / "checkpoint" / "golden"


def write(prefix: Path, values: Mapping[str, Any], **saver: Any) -> Path:
    """Writes a checkpoint of these values by a Saver; returns its prefix."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), v1.Session() as session:
        made = [
            v1.get_variable(
                name, initializer=tf.constant(value), use_resource=False
            )
            for name, value in values.items()
        ]
        session.run([variable.initializer for variable in made])
        meta = saver.pop("meta", False)
        v1.train.Saver(**saver).save(
            session, str(prefix), write_meta_graph=meta
        )
    return prefix


def counted(*shape: int, start: int = 0) -> np.ndarray:
    """Returns float32 values `start`, `start` + 1, ... in C order."""
    size = int(np.prod(shape))
    return np.arange(start, start + size, dtype="float32").reshape(shape)


@contextlib.contextmanager
def restored(prefix: str | Path) -> Iterator[Any]:
    """Yields a session that knows nothing but the exported files."""
    with tf.Graph().as_default(), v1.Session() as session:
        saver = v1.train.import_meta_graph(f"{prefix}.meta")
        saver.restore(session, str(prefix))
        yield session


@dataclasses.dataclass(frozen=True)
class SmallProgram:
    """Two dense layers in TensorFlow 1, as `small_model` has them."""

    session: Any
    x: Any
    y: Any
    output: Any
    loss: Any
    trainer: Any
    saver: Any

    def train(self, steps: int) -> list[float]:
        """Returns the losses before each of `steps` updates."""
        feed = dict(zip((self.x, self.y), arrays(), strict=True))
        return [
            float(self.session.run([self.loss, self.trainer], feed)[0])
            for _ in range(steps)
        ]

    def predict(self) -> np.ndarray:
        """Returns the outputs for the examples."""
        output: np.ndarray = self.session.run(
            self.output, {self.x: arrays()[0]}
        )
        return output

    def save(self, prefix: Path) -> Path:
        """Writes all variables; returns the prefix."""
        with self.session.graph.as_default():
            self.saver.save(self.session, str(prefix))
        return prefix

    def restore(self, prefix: Path) -> None:
        """Reads all variables; an error if one is not in the file."""
        with self.session.graph.as_default():
            self.saver.restore(self.session, str(prefix))


@contextlib.contextmanager
def small_program(
    optimizer: Callable[[], Any], *, scope: str = ""
) -> Iterator[SmallProgram]:
    """Yields the program, its variables called `Variable` and so on."""
    start = small_weights()
    with tf.Graph().as_default():
        x = v1.placeholder(tf.float32, [None, 6], name="x")
        y = v1.placeholder(tf.float32, [None, 3], name="y")
        with v1.variable_scope(scope) if scope else contextlib.nullcontext():
            w1, b1, w2, b2 = (
                v1.Variable(value, use_resource=False) for value in start
            )
            hidden = tf.tanh(tf.matmul(x, w1) + b1)
            output = tf.matmul(hidden, w2) + b2
            loss = tf.reduce_mean(tf.square(output - y))
            trainer = optimizer().minimize(
                loss, global_step=v1.train.get_or_create_global_step()
            )
        saver = v1.train.Saver()
        initializer = v1.global_variables_initializer()
        session = v1.Session(graph=v1.get_default_graph())
    # Not `with session:`, in which its graph would be the default one and
    # Keras would not run eagerly.
    with contextlib.closing(session):
        session.run(initializer)
        yield SmallProgram(session, x, y, output, loss, trainer, saver)


def small_model(optimizer: Any = None) -> GradientModel:
    """Returns the counterpart of `small_program` in Keras, other weights."""
    inputs = keras.Input((6,), name="x")
    x = keras.layers.Dense(5, activation="tanh")(inputs)
    model = GradientModel(inputs, keras.layers.Dense(3)(x), name="small")
    if optimizer is not None:
        model.compile(optimizer, loss="mse")
    return model


def train(model: GradientModel, steps: int) -> list[float]:
    """Returns the losses before each of `steps` updates."""
    x, y = arrays()
    losses = []
    for _ in range(steps):
        result = model.compute_gradients(x, y)
        model.apply_gradients(result.grads_and_vars)
        losses.append(float(result.loss))
    return losses


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Returns eight examples, always the same."""
    random = np.random.default_rng(7)
    return (
        random.normal(size=(8, 6)).astype("float32"),
        random.normal(size=(8, 3)).astype("float32"),
    )


def small_weights() -> list[np.ndarray]:
    """Returns the weights that `small_program` begins with."""
    random = np.random.default_rng(8)
    shapes: list[tuple[int, ...]] = [(6, 5), (5,), (5, 3), (3,)]
    return [random.normal(size=s).astype("float32") / 2 for s in shapes]
