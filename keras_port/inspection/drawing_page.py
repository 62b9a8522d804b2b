"""Writes a model as one page of HTML on which digits are drawn."""

import base64
from collections.abc import Iterator
import html
import importlib.resources
import math
import os
import pathlib
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_port._support import local_path
from keras_port.inspection.graph_page import DATA_MARK
from keras_port.inspection.graph_page import TITLE_MARK
from keras_port.inspection.graph_page import script_json
from keras_port.layers import Dropout
from keras_port.layers import PixelRangeCheck
from keras_port.layers import TransposedGradientDense

TEMPLATE = "drawing_page.html"
PIXELS = 28 * 28
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")
# Layers that change nothing outside training. By their classes and not by
# `isinstance`: a subclass may compute something else.
IDENTITIES = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.Dropout,
    Dropout,
    PixelRangeCheck,
)
DENSE = (keras.layers.Dense, TransposedGradientDense)
# 16 bits for each weight keep the page of the CNN under 10 MB.
LEVELS = 2**15 - 1


def write_drawing_page(
    model: keras.Model, path: str | os.PathLike[str]
) -> pathlib.Path:
    """Writes a page on which a digit is drawn and the model reads it.

    The page shows what the network sees, the probability of every class, and
    the output of every layer, while the digit is drawn with a mouse or a
    finger. It is one file that holds the weights and computes in the browser:
    it needs no server, no network and no other file. Weights have 16 bits in
    it, and the probabilities are those of the model to 0.001. The page of the
    course's CNN has 9 MB.

    Args:
        model: A functional or sequential model of 28 x 28 pixels in [0, 1]
            and one row of probabilities or logits, such as those of
            `build_cnn` and `build_perceptron`. Its layers form a chain of
            `Conv2D`, `MaxPooling2D`, `Flatten`, `Reshape`, `Dense`,
            `Activation`, `ReLU`, `Softmax`, dropout, and the layers of
            `keras_port`.
        path: File to write, such as `"draw.html"`. An existing file is
            replaced. `~` is your home directory.

    Returns:
        The path.

    Raises:
        ValueError: If the page cannot compute the model; the error names the
            layer. Also if `path` is empty or a bucket such as `gs://`.

    Example:

    >>> model = keras_port.models.build_perceptron()
    >>> page = keras_port.inspection.write_drawing_page(model, "draw.html")
    >>> page.read_text().startswith("<!DOCTYPE html>")
    True
    """
    file = local_path("path", path)
    file.write_text(drawing_page(model), "utf-8")
    return file


def drawing_page(model: keras.Model) -> str:
    """Returns the HTML page of a model."""
    files = importlib.resources.files("keras_port.inspection")
    template = files.joinpath(TEMPLATE).read_text("utf-8")
    before, after = template.split(DATA_MARK)
    data = script_json(page_layers(model))
    return before.replace(TITLE_MARK, html.escape(model.name)) + data + after


def page_layers(model: keras.Model) -> list[dict[str, Any]]:
    """Returns what the page computes, layer by layer.

    Raises:
        ValueError: If the page cannot compute the model.
    """
    layers = [
        describe(layer)
        for layer in find_chain(model)
        if type(layer) not in IDENTITIES
    ]
    if not layers:
        raise ValueError(f"The model {model.name!r} has no layer to compute.")
    last = layers[-1]
    if last.get("activation", "linear") == "linear":
        # The bars of the page are probabilities.
        layers.append(step("activation", "softmax", last["shape"], "softmax"))
    elif last["activation"] != "softmax":
        raise ValueError(
            "The page shows probabilities, so the outputs must be those of a "
            "softmax, or logits. Received: a model that ends with "
            f"{last['activation']!r}"
        )
    return layers


def find_chain(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers, each of which takes the output of the one before.

    Raises:
        ValueError: If they are no chain, or not from an image to classes.
    """
    sequential = isinstance(model, keras.Sequential)
    if not (model.built and (sequential or hasattr(model, "operations"))):
        raise ValueError(
            "`model` must be a functional or sequential model that is built. "
            f"Received: {type(model).__name__} {model.name!r}"
        )
    shape = model.input_shape
    if not isinstance(shape, tuple) or count(shape) != PIXELS:
        raise ValueError(
            f"`model` must have one input of {PIXELS} pixels, such as "
            f"(None, 784) or (None, 28, 28, 1). Received: shape {shape}"
        )
    tensor = model.inputs[0]
    # Operations that are no layers, such as `x + y`, are not in `layers`.
    for layer in model.layers if sequential else model.operations:
        if not isinstance(layer, keras.layers.InputLayer):
            if not isinstance(layer, keras.layers.Layer):
                raise unknown(layer)
            if layer.input is not tensor:
                raise ValueError(
                    "The layers of the model must be a chain. The layer "
                    f"{layer.name!r} does not take the output of the layer "
                    "before it, and of nothing else."
                )
            tensor = layer.output
        yield layer
    if model.outputs != [tensor] or len(tensor.shape) != 2:
        raise ValueError(
            "`model` must have one output of shape (batch, classes), that of "
            f"its last layer. Received: output shape {model.output_shape}"
        )


def describe(layer: Any) -> dict[str, Any]:
    """Returns what the page must know of a layer.

    Raises:
        ValueError: If the page cannot compute the layer.
    """
    shape = list(layer.output.shape[1:])
    kind = type(layer)
    if getattr(layer, "quantization_mode", None) is not None:
        raise ValueError(
            f"The layer {layer.name!r} is quantized. Write the page from the "
            "model before `quantize`."
        )
    if kind in (keras.layers.Flatten, keras.layers.Reshape):
        check_order(layer)
        return step("reshape", layer.name, shape)
    if kind in DENSE and len(layer.input.shape) == 2:
        return step("dense", layer.name, shape, activation_name(layer)) | {
            "kernel": pack_kernel(layer.kernel),
            "bias": pack_bias(layer),
        }
    if kind is keras.layers.Conv2D and is_plain(layer):
        return step("conv", layer.name, shape, activation_name(layer)) | {
            "kernel": pack_kernel(layer.kernel),
            "bias": pack_bias(layer),
            "size": list(layer.kernel_size),
            "strides": list(layer.strides),
            "same": layer.padding == "same",
        }
    if kind is keras.layers.MaxPooling2D:
        check_order(layer)
        return step("pool", layer.name, shape) | {
            "size": list(layer.pool_size),
            "strides": list(layer.strides),
            "same": layer.padding == "same",
        }
    if kind is keras.layers.Activation:
        return step("activation", layer.name, shape, activation_name(layer))
    if kind is keras.layers.Softmax and layer.axis == -1 and len(shape) == 1:
        return step("activation", layer.name, shape, "softmax")
    if kind is keras.layers.ReLU and is_plain_relu(layer):
        return step("activation", layer.name, shape, "relu")
    raise unknown(layer)


def step(
    kind: str, name: str, shape: list[int], activation: str = "linear"
) -> dict[str, Any]:
    """Returns what the page must know of every layer."""
    if activation == "softmax" and len(shape) != 1:
        raise ValueError(
            f"The layer {name!r} has a softmax over {shape} values. The page "
            "knows one over the classes only."
        )
    return {
        "kind": kind,
        "name": name,
        "shape": shape,
        "activation": activation,
    }


def is_plain(layer: keras.layers.Conv2D) -> bool:
    """Returns whether a convolution has neither groups nor holes."""
    check_order(layer)
    return (
        layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.padding in ("same", "valid")
    )


def is_plain_relu(layer: keras.layers.ReLU) -> bool:
    """Returns whether a layer is max(x, 0)."""
    return (
        layer.max_value is None
        and not layer.negative_slope
        and not layer.threshold
    )


def check_order(layer: Any) -> None:
    """Raises unless the channels of a layer are the last axis."""
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(
            f"The layer {layer.name!r} has data_format="
            f"{layer.data_format!r}. The page knows 'channels_last' only."
        )


def activation_name(layer: Any) -> str:
    """Returns the name of a layer's activation.

    Raises:
        ValueError: If the page does not know it.
    """
    for name in ACTIVATIONS:
        if layer.activation is getattr(keras.activations, name):
            return name
    raise ValueError(
        f"The page cannot compute the activation of the layer {layer.name!r}. "
        f"It knows {', '.join(ACTIVATIONS)}."
    )


def unknown(layer: Any) -> ValueError:
    """Returns the error for a layer that the page cannot compute."""
    return ValueError(
        f"The page cannot compute the layer {layer.name!r} "
        f"({type(layer).__name__}) with its settings. It knows Conv2D without "
        "groups and dilation, MaxPooling2D, Flatten, Reshape, Dense after "
        "them, Activation, ReLU, Softmax, dropout, and the layers of "
        "keras_port."
    )


def pack_kernel(kernel: Any) -> dict[str, str]:
    """Returns a kernel as integers of 16 bits and a factor per output.

    Half the bytes of float32, and ten times as exact as float16: a layer's
    weights are of one size, so bits for an exponent would be wasted.
    """
    values = np.asarray(kernel, np.float32)
    values = values.reshape(-1, values.shape[-1])
    largest = np.abs(values).max(axis=0)
    if not np.isfinite(largest).all():
        raise ValueError("The weights of the model must be finite.")
    scale = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
    return {
        "values": encode(np.rint(values / scale).astype("<i2")),
        "scale": encode(scale.astype("<f4")),
    }


def pack_bias(layer: Any) -> str:
    """Returns the bias of a layer as float32, zeros if there is none."""
    if layer.bias is None:
        return encode(np.zeros(layer.kernel.shape[-1], "<f4"))
    return encode(np.asarray(layer.bias).astype("<f4"))


def encode(values: npt.NDArray[Any]) -> str:
    """Returns the bytes of an array in base 64."""
    return base64.b64encode(values.tobytes()).decode("ascii")


def count(shape: tuple[int | None, ...]) -> int:
    """Returns how many values an example has."""
    return math.prod(size or 0 for size in shape[1:])
