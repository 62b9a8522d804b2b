"""Lesson 1: the one-layer perceptron."""

from collections.abc import Sequence

import keras

from keras_port.models.image_model import Activation
from keras_port.models.image_model import ImageModel
from keras_port.models.image_model import check_num_classes
from keras_port.models.image_model import class_scores
from keras_port.models.image_model import image_inputs


def build_perceptron(
    *,
    input_shape: Sequence[int] = (784,),
    num_classes: int = 10,
    classifier_activation: Activation = "softmax",
    check_pixels: bool = True,
    name: str = "perceptron",
) -> ImageModel:
    """Builds the course's perceptron, `y = softmax(x W + b)`.

    `W` (784, 10) and `b` (10) start as zeros, so that before training every
    class has the same probability. The model has 7,850 parameters. It is from
    lesson 1 of the course, "One-layer Perceptron".

    Args:
        input_shape: Shape of one image: (784,), (28, 28) or (28, 28, 1).
            Defaults to (784,), the course's row of pixels.
        num_classes: Number of classes, 2 or more. Defaults to 10.
        classifier_activation: Activation of the outputs: `"softmax"` for
            probabilities, `None` for logits, or any other of Keras. Defaults
            to `"softmax"`.
        check_pixels: Whether float pixels outside [0, 1] are an error. `False`
            leaves out the layer `pixels`, for tools that go beyond the range
            on purpose, such as adversarial examples. Defaults to `True`.
        name: Name of the model. Defaults to `"perceptron"`.

    Returns:
        An `ImageModel`, not compiled: uint8 images, or float images in [0, 1],
        of shape (batch, *input_shape) to outputs of shape
        (batch, num_classes).

    Raises:
        ValueError: For another `input_shape`, or fewer than 2 classes.

    Example:

    >>> model = build_perceptron()
    >>> model(np.zeros((5, 784), "float32")).shape
    TensorShape([5, 10])
    """
    check_num_classes(num_classes)
    inputs, x = image_inputs(input_shape, check_pixels=check_pixels)
    x = keras.layers.Flatten(name="flatten")(x)
    logits = keras.layers.Dense(
        num_classes, kernel_initializer="zeros", name="fc"
    )(x)
    return ImageModel(
        inputs, class_scores(logits, classifier_activation), name=name
    )
