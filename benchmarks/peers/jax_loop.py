"""JAX: compiled steps. Runs in an environment with only JAX."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.work import HIDDEN
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import shuffle_indices
from benchmarks.peers.work import time_call

SHAPES = {
    "cnn": [(5, 5, 1, 32), (5, 5, 32, 64), (3136, 1024), (1024, 10)],
    "perceptron": [(784, 10)],
    "mlp": [(784, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 10)],
}


def initial(model: str, key: jax.Array) -> list[Any]:
    """Returns the weights and biases of every layer."""
    layers = []
    for shape in SHAPES[model]:
        key, draw = jax.random.split(key)
        weight = 0.1 * jax.random.truncated_normal(draw, -2, 2, shape)
        zero = jnp.zeros(shape)
        layers.append(
            (zero if model == "perceptron" else weight, jnp.zeros(shape[-1]))
        )
    return layers


def compute_logits(
    layers: list[Any], x: jax.Array, key: jax.Array, dtype: Any
) -> jax.Array:
    """Returns the logits of images (batch, 28, 28, 1)."""
    layers = jax.tree.map(lambda value: value.astype(dtype), layers)
    x = x.astype(dtype)
    *hidden, (last, bias) = layers
    for weight, shift in hidden:
        if weight.ndim == 4:
            x = jax.lax.conv_general_dilated(
                x,
                weight,
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(x + shift)
            x = jax.lax.reduce_window(
                x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
            )
        else:
            x = jax.nn.relu(x.reshape(len(x), -1) @ weight + shift)
            if weight.shape[1] == HIDDEN:
                continue  # Without dropout.
            kept = jax.random.bernoulli(key, 0.5, x.shape)
            x = jnp.where(kept, 2 * x, 0)
    return x.reshape(len(x), -1) @ last + bias


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures a loop of compiled steps."""
    return make_loop(work, data, steps_per_call=1)


def make_scan(work: Work, data: Mnist) -> Measurement:
    """Returns the same with `jax.lax.scan` over many steps in one program."""
    return make_loop(work, data, steps_per_call=math.gcd(work.steps, 50))


def make_loop(work: Work, data: Mnist, steps_per_call: int) -> Measurement:
    """Returns a function that measures the loop."""
    adam_is_used = work.recipe.optimizer == "adam"
    rate = work.recipe.learning_rate
    scale = work.recipe.loss_scale(work.batch_size)
    dtype = jnp.bfloat16 if work.precision == "bfloat16" else jnp.float32
    images = jnp.asarray(data.train.images[..., None])
    labels = jnp.asarray(data.train.labels, jnp.int32)
    layers = initial(work.model, jax.random.key(work.seed))
    zeros = jax.tree.map(jnp.zeros_like, layers)
    state = (layers, zeros, jax.tree.map(jnp.zeros_like, layers), 0)
    order = shuffle_indices(len(labels), work.batch_size, work.seed)

    def loss(layers: Any, x: jax.Array, y: jax.Array, key: Any) -> jax.Array:
        logits = compute_logits(layers, x, key, dtype).astype(jnp.float32)
        terms = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
        return -scale * terms.sum()

    def step(
        state: Any, images: jax.Array, labels: jax.Array, chosen: jax.Array
    ) -> Any:
        layers, means, squares, count = state
        key = jax.random.fold_in(jax.random.key(work.seed), count)
        x = images[chosen].astype(jnp.float32) / 255
        gradients = jax.grad(loss)(layers, x, labels[chosen], key)
        if adam_is_used:
            return adam(rate, layers, means, squares, count + 1, gradients)
        layers = jax.tree.map(lambda w, g: w - rate * g, layers, gradients)
        return layers, means, squares, count + 1

    def many_steps(
        state: Any, images: jax.Array, labels: jax.Array, chosen: jax.Array
    ) -> Any:
        def one_more(state: Any, chosen: jax.Array) -> tuple[Any, None]:
            return step(state, images, labels, chosen), None

        state, _ = jax.lax.scan(one_more, state, chosen)
        return state

    is_scan = steps_per_call > 1
    compiled = jax.jit(many_steps if is_scan else step, donate_argnums=0)

    def run(steps: int) -> None:
        nonlocal state
        for _ in range(0, steps, steps_per_call):
            chosen = [next(order) for _ in range(steps_per_call)]
            indices = np.stack(chosen) if is_scan else chosen[0]
            state = compiled(state, images, labels, indices)
        jax.block_until_ready(state)

    run(max(steps_per_call, 5))
    return lambda: time_call(lambda: run(work.steps))


def adam(
    rate: float,
    layers: Any,
    means: Any,
    squares: Any,
    count: Any,
    gradients: Any,
) -> tuple[Any, Any, Any, Any]:
    """Returns the state after one update of TensorFlow 1's Adam."""
    tree_map = jax.tree.map
    rate = rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    means = tree_map(lambda m, g: 0.9 * m + 0.1 * g, means, gradients)
    squares = tree_map(
        lambda v, g: 0.999 * v + 0.001 * g * g, squares, gradients
    )
    layers = tree_map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8),
        layers,
        means,
        squares,
    )
    return layers, means, squares, count
