"""Lesson 3: the convolutional network."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_port.layers import Dropout
from keras_port.layers import TransposedGradientDense
from keras_port.models.image_model import SIDE
from keras_port.models.image_model import Activation
from keras_port.models.image_model import ImageModel
from keras_port.models.image_model import check_num_classes
from keras_port.models.image_model import class_scores
from keras_port.models.image_model import image_inputs

# The course's `tf.truncated_normal`.
COURSE_INITIALIZER = {
    "class_name": "TruncatedNormal",
    "config": {"stddev": 0.1},
}


def build_cnn(
    *,
    input_shape: Sequence[int] = (784,),
    num_classes: int = 10,
    classifier_activation: Activation = "softmax",
    dropout_rate: float = 0.5,
    kernel_initializer: Any = None,
    check_pixels: bool = True,
    name: str = "cnn",
) -> ImageModel:
    """Builds the course's convolutional network.

    Two blocks of a 5 x 5 convolution with relu and 2 x 2 max pooling, with 32
    and 64 channels, then a dense layer of 1,024 units with relu, dropout, and
    the dense layer of the classes. The initial weights come from a normal
    distribution with standard deviation 0.1, truncated at two standard
    deviations; the initial biases are 0. The model has 3,274,634 parameters
    with 10 classes. It is from lesson 3 of the course, "Convolutional Neural
    Networks"; the layers have the names of lesson 4, `conv1`, `conv2`, `fc1`
    and `fc2`.

    Args:
        input_shape: Shape of one image: (784,), (28, 28) or (28, 28, 1).
            Defaults to (784,), the course's row of pixels.
        num_classes: Number of classes, 2 or more. Defaults to 10.
        classifier_activation: Activation of the outputs: `"softmax"` for
            probabilities, `None` for logits, or any other of Keras. Defaults
            to `"softmax"`.
        dropout_rate: Probability of dropping one of the 1,024 values in
            training; 1 minus the course's `keep_prob`. Defaults to 0.5.
        kernel_initializer: Name or configuration of a Keras initializer, such
            as `"he_normal"`. Defaults to `None`: the course's.
        check_pixels: Whether float pixels outside [0, 1] are an error. `False`
            leaves out the layer `pixels`, for tools that go beyond the range
            on purpose, such as adversarial examples. Defaults to `True`.
        name: Name of the model. Defaults to `"cnn"`.

    Returns:
        An `ImageModel`, not compiled: uint8 images, or float images in [0, 1],
        of shape (batch, *input_shape) to outputs of shape
        (batch, num_classes).

    Raises:
        ValueError: For another `input_shape`, fewer than 2 classes, or a
            `dropout_rate` outside [0, 1).

    Example:

    >>> model = build_cnn()
    >>> features = keras.Model(model.input, model.get_layer("fc1").output)
    >>> features(np.zeros((2, 784), "float32")).shape
    TensorShape([2, 1024])
    """
    check_num_classes(num_classes)
    initial = kernel_initializer or COURSE_INITIALIZER
    inputs, x = image_inputs(input_shape, check_pixels=check_pixels)
    x = keras.layers.Reshape((SIDE, SIDE, 1), name="reshape")(x)
    for number, channels in ((1, 32), (2, 64)):
        x = convolution(channels, initial, name=f"conv{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = dense(1024, initial, activation="relu", name="fc1")(x)
    x = Dropout(rate=dropout_rate, name="dropout")(x)
    logits = dense(num_classes, initial, name="fc2")(x)
    return ImageModel(
        inputs, class_scores(logits, classifier_activation), name=name
    )


def convolution(
    channels: int, initializer: Any, *, name: str
) -> keras.layers.Conv2D:
    """Returns a 5 x 5 convolution that keeps the size, with relu."""
    return keras.layers.Conv2D(
        channels,
        5,
        padding="same",
        activation="relu",
        kernel_initializer=new_initializer(initializer),
        name=name,
    )


def dense(
    units: int, initializer: Any, *, name: str, **kwargs: Any
) -> TransposedGradientDense:
    """Returns a dense layer with these initial weights."""
    return TransposedGradientDense(
        units,
        kernel_initializer=new_initializer(initializer),
        name=name,
        **kwargs,
    )


def new_initializer(initializer: Any) -> keras.initializers.Initializer:
    """Returns a new initializer, so that layers do not share its seed."""
    made = keras.initializers.get(initializer)
    if not isinstance(made, keras.initializers.Initializer):
        raise ValueError(
            "`kernel_initializer` must be the name or the configuration of an "
            f"initializer of Keras. Received: kernel_initializer={initializer}"
        )
    return made.clone() if made is initializer else made
