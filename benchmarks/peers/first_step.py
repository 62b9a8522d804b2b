"""A command that ends with its first training step of the CNN, batch 100.

`python first_step.py tensorflow`: imports only TensorFlow and runs one traced
step on zeros. `keras`: `fit` of stock Keras on MNIST. `keras_port`: what
`examples/train_cnn.py` does, until its progress shows the first call of ten
steps; `keras_port_single`: the same with one step per call. The process ends at
once, without cleaning up, so that its parent's clock stops with the step.
"""

from collections.abc import Callable
import os
import pathlib
import sys
import tempfile
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

End = Callable[[], None]
SHAPES = ((5, 5, 1, 32), (5, 5, 32, 64), (3136, 1024), (1024, 10))


def tensorflow(end: End) -> None:
    """Trains one step with only variables and operations of TensorFlow."""
    import tensorflow as tf

    weights = [
        tf.Variable(tf.random.truncated_normal(shape, stddev=0.1))
        for shape in SHAPES
    ]
    biases = [tf.Variable(tf.zeros(shape[-1])) for shape in SHAPES]
    variables = weights + biases
    slots = [
        [tf.Variable(tf.zeros_like(variable)) for _ in range(2)]
        for variable in variables
    ]

    def compute_loss(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        h = tf.reshape(x, [-1, 28, 28, 1])
        for weight, bias in zip(weights[:2], biases[:2], strict=True):
            h = tf.nn.relu(tf.nn.conv2d(h, weight, 1, "SAME") + bias)
            h = tf.nn.max_pool2d(h, 2, 2, "SAME")
        h = tf.reshape(h, [-1, 3136])
        h = tf.nn.dropout(tf.nn.relu(h @ weights[2] + biases[2]), 0.5)
        logits = h @ weights[3] + biases[3]
        return tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
        )

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = compute_loss(x, y)
        gradients = tape.gradient(loss, variables)
        for variable, pair, gradient in zip(
            variables, slots, gradients, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=pair[0].handle,
                v=pair[1].handle,
                beta1_power=0.9,
                beta2_power=0.999,
                lr=1e-4,
                beta1=0.9,
                beta2=0.999,
                epsilon=1e-8,
                grad=gradient,
            )
        return loss

    step(tf.zeros([100, 784]), tf.zeros([100], tf.int32)).numpy()
    end()


def keras(end: End) -> None:
    """Trains the first step of stock Keras' `fit` on MNIST."""
    from benchmarks.peers import keras_fit
    from benchmarks.peers import work

    train = work.load_mnist().train
    model = keras_fit.build_compiled_model(work.Work())
    model.fit(
        keras_fit.index_batches(train, 100),
        steps_per_epoch=100,
        shuffle=False,
        verbose=0,
        callbacks=[after_first_batch(end)],
    )


def keras_port(end: End, **kwargs: Any) -> None:
    """Trains the first call of `examples/train_cnn.py`."""
    from examples import cli

    with cli.quiet_imports():
        from benchmarks.peers import keras_port_job
        from benchmarks.peers.work import Work
        from keras_port import datasets

    with tempfile.TemporaryDirectory() as folder:
        keras_port_job.train(
            Work(steps=20_000),
            datasets.load_mnist(),
            pathlib.Path(folder),
            after_progress=[after_first_batch(end)],
            **kwargs,
        )


def keras_port_single(end: End) -> None:
    """Trains the first step, with one step per call."""
    keras_port(end, max_steps_per_execution=1)


def after_first_batch(end: End) -> Any:
    """Returns a callback that ends the process after the first batch."""
    import keras

    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: end()
    )


KINDS = {
    "tensorflow": tensorflow,
    "keras": keras,
    "keras_port": keras_port,
    "keras_port_single": keras_port_single,
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](lambda: os._exit(0))
