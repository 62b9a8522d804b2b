"""The base class of the course's models: images in, class scores out."""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import Any

import keras
import tensorflow as tf

from keras_port._support import check_integer
from keras_port._support import value_errors
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.layers import PixelRangeCheck
from keras_port.losses import CourseCrossEntropy
from keras_port.training import GradientModel
from keras_port.training import get_split_arrays

Activation = str | Callable[[Any], Any] | None
SIDE = 28
INPUT_SHAPES = ((SIDE * SIDE,), (SIDE, SIDE), (SIDE, SIDE, 1))


@keras.saving.register_keras_serializable(package="keras_port")
class ImageModel(GradientModel):
    """A `GradientModel` for images that scales integer pixels, once.

    Images with an integer dtype, 0 to 255, are divided by 255. Floating images
    must already be scaled: pixels greater than 1 are rejected
    (`layers.PixelRangeCheck`). `build_perceptron` and `build_cnn` build the
    models; this class is public for code that loads, clones or annotates them.

    Call arguments:
        inputs: Images of the model's `input_shape`, after the batch.
        training: Whether dropout is active. Defaults to `False`.

    Raises:
        ValueError: If images have a different shape, or float pixels greater
            than 1.

    Example:

    >>> model = build_perceptron()
    >>> white = np.full((1, 784), 255, "uint8")
    >>> scaled = np.ones((1, 784), "float32")
    >>> bool(np.all(model(white) == model(scaled)))
    True
    """

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns the outputs for images of an integer or floating dtype."""
        # Before Keras converts the inputs to the model's dtype, after which
        # nothing shows whether they were integers.
        self._check_shape(inputs)
        if is_integer(inputs):
            inputs = scale(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configures the model for training, and checks the loss.

        Args:
            *args: As for `GradientModel.compile`.
            **kwargs: As for `GradientModel.compile`.

        Raises:
            ValueError: If the loss expects probabilities and the model gives
                logits, or the other way around.
        """
        super().compile(*args, **kwargs)
        if not isinstance(self.loss, CourseCrossEntropy):
            return
        # A model of other layers may end with one that has no activation.
        activation = getattr(self.layers[-1], "activation", None)
        is_linear = activation is keras.activations.linear
        if not is_linear and activation is not keras.activations.softmax:
            return
        if self.loss.from_logits != is_linear:
            raise ValueError(
                "The model's outputs are "
                f"{'logits' if is_linear else 'probabilities'}, but "
                f"the loss has from_logits={self.loss.from_logits}. Use "
                f"`CourseCrossEntropy(..., from_logits={is_linear})`."
            )

    def check_inputs(self, inputs: Any) -> list[tf.Operation]:
        """Returns the check of the layer `PixelRangeCheck`, if there is one.

        Args:
            inputs: Images, shape (n, ...).
        """
        if is_integer(inputs):
            return []
        return [
            layer.check(inputs)
            for layer in self.layers
            if isinstance(layer, PixelRangeCheck)
            and any(layer.input is one for one in self.inputs)
        ]

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Evaluates as `keras.Model.evaluate` does.

        Args:
            x: As for `keras.Model.evaluate`, or an `ImageSplit`. Defaults to
                `None`.
            y: As for `keras.Model.evaluate`. Defaults to `None`.
            *args: As for `keras.Model.evaluate`.
            **kwargs: As for `keras.Model.evaluate`.

        Returns:
            What `keras.Model.evaluate` returns.

        Raises:
            ValueError: For float pixels that are not in [0, 1], or images of
                another shape.
        """
        with value_errors():
            if isinstance(x, ImageSplit):
                x, y = get_split_arrays(x, self)
            # Later, the number of axes may not be known any more.
            self._check_shape(x)
            return super().evaluate(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Predicts as `keras.Model.predict` does.

        Args:
            x: As for `keras.Model.predict`, or an `ImageSplit`.
            *args: As for `keras.Model.predict`.
            **kwargs: As for `keras.Model.predict`.

        Returns:
            What `keras.Model.predict` returns.

        Raises:
            ValueError: For float pixels that are not in [0, 1], or images of
                another shape.
        """
        with value_errors():
            if isinstance(x, ImageSplit):
                x, _ = get_split_arrays(x, self)
            self._check_shape(x)
            return super().predict(x, *args, **kwargs)

    def _check_shape(self, inputs: Any) -> None:
        shape = getattr(inputs, "shape", None)
        if shape is None:
            return
        if getattr(shape, "rank", 0) is None:
            # So Keras traces after shapes with different numbers of axes.
            raise ValueError(
                f"The model {self.name!r} was built for images of shape "
                f"(batch, {', '.join(map(str, self.input_shape[1:]))}). "
                "Received: images whose number of axes is unknown, or is not "
                "that of an earlier call."
            )
        received, expected = tuple(shape), self.input_shape[1:]
        if received[1:] == expected:
            return
        if received == expected:
            fix = "Use `images[np.newaxis]`: a batch of one image."
        elif None not in received[1:] and math.prod(received[1:]) == math.prod(
            expected
        ):
            sizes = ", ".join(map(str, (-1, *expected)))
            fix = f"Use `images.reshape(({sizes}))`."
        else:
            fix = "Build the model with the `input_shape` of your images."
        raise ValueError(
            f"The model {self.name!r} was built for images of shape (batch, "
            f"{', '.join(map(str, expected))}). Received: shape {received}. "
            f"{fix}"
        )


def is_integer(inputs: Any) -> bool:
    """Tells images of an integer dtype from floating ones."""
    dtype = getattr(inputs, "dtype", None)
    return dtype is not None and tf.as_dtype(dtype).is_integer


def scale(inputs: Any) -> Any:
    """Returns integer images as floats in [0, 1], also symbolic ones."""
    if isinstance(inputs, keras.KerasTensor):
        return keras.ops.cast(inputs, keras.config.floatx()) / 255
    return scale_pixels(inputs)


def image_inputs(
    input_shape: Sequence[int], *, check_pixels: bool
) -> tuple[Any, Any]:
    """Returns the model's input and the checked images after it.

    Args:
        input_shape: One of (784,), (28, 28) and (28, 28, 1).
        check_pixels: Whether to check the images.

    Raises:
        ValueError: For any other shape.
    """
    shape = tuple(input_shape)
    if shape not in INPUT_SHAPES:
        raise ValueError(
            f"`input_shape` must be one of {INPUT_SHAPES}. "
            f"Received: input_shape={shape}"
        )
    inputs = keras.Input(shape, name="images")
    if not check_pixels:
        return inputs, inputs
    return inputs, PixelRangeCheck(name="pixels")(inputs)


def class_scores(logits: Any, activation: Activation) -> Any:
    """Returns the outputs of the last layer, never in half precision."""
    # Probabilities of 8 or 11 bits would spoil the loss and ties in accuracy.
    compute_dtype = keras.config.dtype_policy().compute_dtype
    half = compute_dtype in ("float16", "bfloat16")
    return keras.layers.Activation(
        activation, dtype="float32" if half else None, name="scores"
    )(logits)


def check_num_classes(num_classes: int) -> None:
    """Raises unless there are two classes or more."""
    check_integer("num_classes", num_classes, minimum=2)
