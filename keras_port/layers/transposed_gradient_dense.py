"""A dense layer with a fast gradient on a CPU."""

from collections.abc import Callable
import contextlib
from typing import Any

import keras
import tensorflow as tf

# Limits within which the transposed product was faster when measured
# (docs/speed.md, "The gradient of the dense layer").
LARGEST_BATCH = 256
SMALLEST_UNITS = 256

Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


@keras.saving.register_keras_serializable(package="keras_port")
class TransposedGradientDense(keras.layers.Dense):  # type: ignore[misc]
    """Computes what `keras.layers.Dense` computes, and trains faster on a CPU.

    The gradient of the inputs of `y = x @ w + b` is `dy @ transpose(w)`. With a
    small batch, and so a `dy` of few rows, TensorFlow's matrix product on a CPU
    is slow in this form; `transpose(w @ transpose(dy))` is the same product and
    takes from a quarter to nine tenths of the time. The layer uses it in
    float32, without a GPU, with 256 units or more and at most 256 examples in a
    batch. Otherwise it is the stock layer. The values differ only by rounding.
    A quantized layer computes exactly what the stock one computes.

    Args:
        *args: As for `keras.layers.Dense`.
        **kwargs: As for `keras.layers.Dense`.

    Call arguments:
        inputs: Tensor of shape (batch, ..., inputs); the output has the shape
            (batch, ..., units).

    Example:

    >>> layer = keras_port.layers.TransposedGradientDense(3, activation="relu")
    >>> layer(np.ones((2, 4), "float32")).shape
    TensorShape([2, 3])
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns `activation(inputs @ kernel + bias)`."""
        if not self._is_quicker_transposed(inputs):
            return super().call(inputs, training=training)
        # Tensors, because a function with a custom gradient takes no variables.
        kernel = tf.convert_to_tensor(self.kernel)
        if self.bias is None:
            outputs = product(inputs, kernel)
        else:
            # The bias is inside, so that TensorFlow still fuses the two.
            bias = tf.convert_to_tensor(self.bias)
            outputs = product_and_bias(inputs, kernel, bias)
        return outputs if self.activation is None else self.activation(outputs)

    def quantize(
        self,
        mode: str | None = None,
        type_check: bool = True,
        config: Any = None,
    ) -> None:
        """Quantizes the kernel as `keras.layers.Dense.quantize` does.

        Args:
            mode: `"int8"`, `"int4"`, `"float8"`, `"gptq"` or `"awq"`.
            type_check: Whether subclasses raise an error. Defaults to `True`.
            config: Keras' quantization config. Defaults to `None`.

        Raises:
            NotImplementedError: For a subclass, if `type_check` is `True`.
        """
        # Keras calls the stock `quantized_call` of a quantized layer, so the
        # check, which is for layers with a different kernel, does not apply.
        is_subclass = type(self) is not TransposedGradientDense
        super().quantize(
            mode, type_check=type_check and is_subclass, config=config
        )

    def _is_quicker_transposed(self, inputs: Any) -> bool:
        if not isinstance(inputs, tf.Tensor) or inputs.shape.rank != 2:
            return False
        batch = inputs.shape[0]
        return (
            self.compute_dtype == "float32"
            and self.units >= SMALLEST_UNITS
            and inputs.dtype == tf.float32
            and (batch is None or batch <= LARGEST_BATCH)
            and not tf.config.get_visible_devices("GPU")
        )


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product(x: tf.Tensor, w: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    """Returns `x @ w`, of shapes (batch, inputs) and (inputs, units)."""
    y = tf.matmul(x, w)

    def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with gradient_scope(y):
            return product_gradients(x, w, dy)

    return y, gradient


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product_and_bias(
    x: tf.Tensor, w: tf.Tensor, b: tf.Tensor
) -> tuple[tf.Tensor, Gradient]:
    """Returns `x @ w + b`, with a bias of shape (units,)."""
    y = tf.matmul(x, w)

    def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, ...]:
        with gradient_scope(y):
            return *product_gradients(x, w, dy), tf.reduce_sum(dy, 0)

    return tf.nn.bias_add(y, b), gradient


def product_gradients(
    x: tf.Tensor, w: tf.Tensor, dy: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `dy @ transpose(w)` and `transpose(x) @ dy`."""
    inputs = tf.transpose(tf.matmul(w, dy, transpose_b=True))
    return inputs, tf.matmul(x, dy, transpose_a=True)


def gradient_scope(y: tf.Tensor) -> contextlib.AbstractContextManager[Any]:
    """Returns the scope in a graph that gradients of `y` have otherwise."""
    if not tf.is_symbolic_tensor(y):
        return contextlib.nullcontext()
    # A name that ends with a slash is taken as it is.
    scope: contextlib.AbstractContextManager[Any] = tf.name_scope(
        f"gradient_tape/{y.op.name}/"
    )
    return scope
