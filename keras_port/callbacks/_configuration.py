"""What decides how a training continues, as far as the program states it."""

from collections.abc import Iterator
from collections.abc import Mapping
import hashlib
import math
import re
from typing import Any

import keras
import numpy as np

from keras_port._support import layer_scopes
from keras_port._support import strip_numbers
from keras_port.callbacks._steps import list_optimizers

Config = dict[str, Any]
# What differs between two processes, or does not decide anything. A seed that
# the program does not give is drawn; the state of its generator is restored.
IGNORED = ("build_config", "module", "name", "registered_name", "seed")
# Arguments of `compile`, besides the optimizer and the loss.
COMPILED = (
    "loss_weights",
    "global_clipnorm",
    "gradient_accumulation_steps",
    "example_selection",
)
# Longer lists and texts are compared by a checksum.
MAX_LENGTH = 64
# In the text of an object that has no other.
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# Differences that an error names.
MAX_DIFFERENCES = 5


def get_configuration(
    model: keras.Model, class_weight: Mapping[int, float] | None = None
) -> Config:
    """Returns the optimizers, the losses and the layers as JSON values.

    Without a learning rate that is a number: callbacks change it, and
    `get_config` returns the rate of now. It is one of the variables.

    Args:
        model: A compiled model.
        class_weight: As given to `fit`, if that is known. Defaults to `None`.
    """
    config: Config = {"loss": describe_loss(getattr(model, "loss", None))}
    for number, optimizer in enumerate(list_optimizers(model), start=1):
        name = "optimizer" if number == 1 else f"optimizer {number}"
        config[name] = drop_rates(describe(optimizer))
    compiled = get_compile_config(model)
    for name in COMPILED:
        config[name] = describe(compiled.get(name))
    if class_weight is not None:
        config["class_weight"] = {
            str(label): float(weight) for label, weight in class_weight.items()
        }
    # A layer may make the layers in it when it is built.
    config["built"] = bool(model.built)
    config["layers"] = describe_layers(model)
    return config


def compare_configurations(there: Config, here: Config) -> list[str]:
    """Returns the differences, without those of layers, as text for an error.

    Args:
        there: Configuration of the snapshot.
        here: Configuration of the model.
    """
    names = {*there, *here} - {"built", "layers"}
    return list_differences(
        {name: there.get(name) for name in names},
        {name: here.get(name) for name in names},
    )


def compare_layers(there: Config, here: Config) -> list[str]:
    """Returns the differences of the layers as text for an error.

    Args:
        there: Configuration of the snapshot.
        here: Configuration of the model.
    """
    if there["built"] != here["built"]:
        return []  # The same model, in a process that was not ended.
    return list_differences(
        {f"layer `{path}`": one for path, one in there["layers"].items()},
        {f"layer `{path}`": one for path, one in here["layers"].items()},
    )


def list_differences(there: Config, here: Config) -> list[str]:
    """Returns at most `MAX_DIFFERENCES` differences as text."""
    lines = [
        line
        for name in sorted({*there, *here})
        for line in find_differences(there.get(name), here.get(name), name)
    ]
    rest = len(lines) - MAX_DIFFERENCES
    return lines if rest <= 0 else [*lines[:-rest], f"and {rest} more"]


def find_differences(there: Any, here: Any, name: str) -> Iterator[str]:
    """Yields every difference of two configurations as text."""
    if there == here:
        return
    both = (there, here)
    is_same_class = all(isinstance(one, dict) for one in both) and (
        there.get("class") == here.get("class")
    )
    is_same_length = all(isinstance(one, list) for one in both) and (
        len(there) == len(here)
    )
    if is_same_class:
        for key in sorted({*there, *here}):
            pair = there.get(key), here.get(key)
            yield from find_differences(*pair, f"{name}.{key}")
    elif is_same_length:
        for index, pair in enumerate(zip(there, here, strict=True)):
            yield from find_differences(*pair, f"{name}[{index}]")
    else:
        yield f"{name} {show(there)} there, {show(here)} here"


def show(value: Any) -> str:
    """Returns a value of a configuration as a short text."""
    if isinstance(value, dict) and "class" in value:
        return str(value["class"])
    text = str(value)
    return text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}..."


def get_compile_config(model: keras.Model) -> Config:
    """Returns the arguments of `compile`, `{}` if they cannot be saved."""
    try:
        config: Config = model.get_compile_config()
    except Exception:  # noqa: BLE001 (of any optimizer, loss or metric)
        # An optimizer of one's own may have no `get_config`, for example.
        return {}
    return config


def get_config(value: Any) -> Config:
    """Returns the configuration of an object, `{}` if it has none.

    A layer, a schedule, an optimizer or a loss of one's own may lack
    `get_config`, which nothing but saving it needs.
    """
    try:
        config: Any = value.get_config()
    except Exception:  # noqa: BLE001 (of any object)
        return {}
    return config if isinstance(config, dict) else {}


def drop_rates(config: Any) -> Any:
    """Returns a configuration without learning rates that are numbers."""
    if not isinstance(config, dict):
        return config
    return {
        key: drop_rates(value)
        for key, value in config.items()
        if key != "learning_rate" or not isinstance(value, int | float)
    }


def describe_loss(loss: Any) -> Any:
    """Returns a loss, or several in a list or dictionary, as JSON values."""
    if isinstance(loss, dict):
        return {str(key): describe_loss(one) for key, one in loss.items()}
    if isinstance(loss, list | tuple):
        return [describe_loss(one) for one in loss]
    if isinstance(loss, str):
        try:  # `mse` is `mean_squared_error`.
            loss = keras.losses.get(loss)
        except ValueError:
            return loss
    return describe(loss)


def describe_layers(model: keras.Model) -> Config:
    """Returns the layers by names that do not depend on the process."""
    found: Config = {}
    for path, scope in layer_scopes(model).walk():
        # A number may be that of a layer of another model.
        base = name = strip_numbers(path)
        number = 1
        while name in found:
            name, number = f"{base}_{number}", number + 1
        found[name] = describe_layer(scope.layer)
    return found


def describe_layer(layer: keras.Layer) -> Config:
    """Returns a layer as JSON values, without the layers in it."""
    described: Config = {"class": type(layer).__name__}
    has_layers = bool(getattr(layer, "layers", None))
    for key, value in get_config(layer).items():
        # Initial values decide nothing after the first step. A model lists
        # its layers with names, which depend on the process.
        if key.endswith("_initializer") or (
            has_layers and isinstance(value, dict | list | tuple)
        ):
            continue
        is_name = isinstance(value, str) and value == layer.name
        if key not in IGNORED and value is not None and not is_name:
            described[key] = describe(value)
    return described


def describe(value: Any) -> Any:
    """Returns any part of a configuration as JSON values."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float | np.generic):
        number = value if isinstance(value, float) else value.item()
        is_plain = not isinstance(number, float) or math.isfinite(number)
        return number if is_plain else repr(number)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return describe(value.tolist())
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape} {get_checksum(value.tobytes())}"
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, list | tuple):
        parts = [describe(one) for one in value]
        return parts if len(parts) <= MAX_LENGTH else shorten(repr(parts))
    if isinstance(value, dict):
        return describe_dictionary(value)
    if isinstance(value, keras.Layer):  # Compared by itself.
        return type(value).__name__
    if hasattr(value, "get_config") and not isinstance(value, type):
        return describe_class(type(value).__name__, get_config(value))
    # Objects are compared by their class.
    return getattr(value, "__name__", type(value).__name__)


def describe_class(name: str, config: Config) -> Any:
    """Returns the class and the configuration of an object."""
    described = describe_dictionary(config)
    is_plain = isinstance(described, dict)
    return {"class": name, **described} if is_plain else described


def describe_dictionary(value: Mapping[Any, Any]) -> Any:
    """Returns a configuration, or an object that Keras has serialized."""
    if "layers" in value and "input_layers" in value:
        # A model in a layer: its layers are compared, and their names depend
        # on the process.
        return "Functional"
    kind, config = value.get("class_name"), value.get("config")
    if kind in ("function", "__lambda__"):
        # The code of a lambda has the numbers of its lines.
        return config if kind == "function" else "<lambda>"
    if kind is not None and isinstance(config, dict):
        if kind == "DTypePolicy":
            return config.get("name")
        return describe_class(str(kind), config)
    return {
        str(key): describe(one)
        for key, one in value.items()
        if key not in IGNORED and one is not None
    }


def shorten(text: str) -> str:
    """Returns a text without addresses, or a checksum of one that is long."""
    text = ADDRESS.sub("", text)
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:8]}... {get_checksum(text.encode())}"


def get_checksum(content: bytes) -> str:
    """Returns a short checksum."""
    return hashlib.sha256(content).hexdigest()[:16]
