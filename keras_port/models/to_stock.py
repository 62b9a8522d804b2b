"""Rebuilds a model from the layers of Keras alone."""

from typing import Any

import keras

from keras_port.layers import PixelRangeCheck

# For each class, the stock one that has the same configuration and weights.
STOCK_CLASSES = {
    "keras_port>Dropout": ("keras.layers", "Dropout"),
    "keras_port>TransposedGradientDense": ("keras.layers", "Dense"),
    "keras_port>PixelRangeCheck": ("keras.layers", "Identity"),
}
MODELS = ("keras_port>GradientModel", "keras_port>ImageModel")


def to_stock(model: keras.Model) -> keras.Model:
    """Returns the same network without any class of this package.

    The new model has the same layers, names and weights, and the same outputs
    for scaled images. It loads from a `.keras` file, converts and quantizes
    where this package is not installed or its classes are not known.

    `Dropout` and `TransposedGradientDense` become the stock layers. The check
    of the pixels is left out, and integer images are not scaled: put a
    `keras.layers.Rescaling(1 / 255)` in front if you need it. Layers of other
    packages are copied as they are. The weights are copies, so later training
    of one model does not change the other.

    Args:
        model: A functional or sequential model that is built.

    Returns:
        A `keras.Model`, or a `keras.Sequential` for a sequential model, that
        is not compiled.

    Raises:
        ValueError: If the model is not built, is a subclass with a `call` of
            its own, or has a layer of this package that Keras does not have,
            such as `tf1.GraphLayer`.

    Example:

    >>> stock = keras_port.models.to_stock(build_cnn())
    >>> stock.save("stock.keras")
    >>> sorted({type(layer).__module__.split(".")[0] for layer in stock.layers})
    ['keras']
    """
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} is not built yet. Build it first with "
            "`model.build(input_shape)` or by calling it on one batch."
        )
    if isinstance(model, keras.Sequential):
        return _rebuild_sequential(model)
    if hasattr(model, "operations"):
        return _rebuild_functional(model)
    raise ValueError(
        f"The model {model.name!r} is a subclass with a `call` of its own, "
        f"{type(model).__name__}, which cannot be rebuilt. Pass a functional "
        "or sequential model, or write the class with stock layers and use "
        "`set_weights(model.get_weights())`."
    )


def _rebuild_sequential(model: keras.Sequential) -> keras.Sequential:
    """Rebuilds the layers one after the other."""
    stock = keras.Sequential(name=model.name)
    stock.add(
        keras.Input(
            batch_shape=model.inputs[0].shape,
            dtype=model.inputs[0].dtype,
            name=model.inputs[0].name,
        )
    )
    for layer in model.layers:
        if not isinstance(layer, PixelRangeCheck):
            new = _rebuild_layer(layer)
            stock.add(new)
            new.set_weights(layer.get_weights())
    if not model.trainable:
        stock.trainable = False
    return stock


def _rebuild_functional(model: keras.Model) -> keras.Model:
    """Rebuilds the layers and calls them in the same graph."""
    pairs: list[tuple[Any, Any]] = []

    def rebuild(layer: Any) -> Any:
        if isinstance(layer, PixelRangeCheck):
            return layer
        new = _rebuild_layer(layer)
        pairs.append((layer, new))
        return new

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, PixelRangeCheck):
            return args[0]
        return layer(*args, **kwargs)

    # Of the class `Functional`, and not compiled, so that the clone is, too.
    plain = keras.Model(model.input, model.output, name=model.name)
    stock = keras.models.clone_model(
        plain, clone_function=rebuild, call_function=call
    )
    for layer, new in pairs:
        if isinstance(layer, keras.layers.Layer):
            new.set_weights(layer.get_weights())
    if not model.trainable:
        stock.trainable = False
    return stock


def _rebuild_layer(layer: Any) -> Any:
    """Returns a new stock layer, operation or nested model."""
    if isinstance(layer, keras.Sequential) or hasattr(layer, "operations"):
        return to_stock(layer)
    if not isinstance(layer, keras.layers.Layer):
        # An operation such as `x + y`, which has neither name nor weights.
        return type(layer).from_config(layer.get_config())
    config = _replace_classes(keras.saving.serialize_keras_object(layer))
    # The config is that of a layer in memory, which may hold a lambda.
    return keras.saving.deserialize_keras_object(config, safe_mode=False)


def _replace_classes(config: Any) -> Any:
    """Returns a configuration in which every class is a stock one."""
    if isinstance(config, list | tuple):
        return [_replace_classes(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: _replace_classes(value) for key, value in config.items()}
    registered = config.get("registered_name")
    if registered in STOCK_CLASSES or registered in MODELS:
        module, name = STOCK_CLASSES.get(registered) or _functional_class()
        config.update(module=module, class_name=name, registered_name=None)
    elif isinstance(registered, str) and registered.startswith("keras_port>"):
        raise ValueError(
            f"Keras has no layer that computes what {config['class_name']} "
            "does, so the model cannot be rebuilt of stock layers."
        )
    return config


def _functional_class() -> tuple[str, str]:
    """Returns how a configuration names the class of functional models."""
    inputs = keras.Input((1,), name="inputs")
    # The layer is there because Keras before 3.14 wants one between the two.
    outputs = keras.layers.Identity(name="identity")(inputs)
    plain = keras.Model(inputs, outputs, name="plain")
    config = keras.saving.serialize_keras_object(plain)
    return config["module"], config["class_name"]
