"""Functional models of a class, without changing the class."""

import functools
from typing import Any

import keras

# Set in the classes that are made here.
FUNCTIONAL = "_is_functional_class"


@functools.cache
def functional_class(cls: Any) -> Any:
    """Returns the class of `cls`'s functional models, a subclass of `cls`.

    Keras makes a functional model of a subclass of `keras.Model` by swapping
    the bases of the class itself. From then on every other subclass of it
    that has a `call` fails with "Functional.__init__() missing 2 required
    positional arguments". Here the functional kind is a separate class, and
    `cls` does not change.
    """
    # The class has no public name, but every functional model is one. The
    # layer is there because Keras before 3.14 wants one between the two.
    point = keras.Input((), name="x")
    output = keras.layers.Identity(name="identity")(point)
    functional = type(keras.Model(point, output, name="functional"))
    if issubclass(cls, functional):
        return cls
    members = {
        FUNCTIONAL: True,
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
    }
    variant = type(cls.__name__, (cls, functional), members)
    package, found, name = keras.saving.get_registered_name(cls).partition(">")
    if found:
        # Saved under the name of `cls`, and loaded through `cls`.
        for registered in (variant, cls):
            keras.saving.register_keras_serializable(package, name)(registered)
    return variant


def reduce_functional(cls: Any, reduced: Any) -> Any:
    """Returns what `pickle` needs to pickle a model, functional or not.

    Keras returns a class method, which `pickle` finds by the name of its
    class. A functional model has a class of its own, with the name of another.

    Args:
        cls: Class of the model.
        reduced: What Keras' `__reduce__` returned: a class method, and its
            arguments.
    """
    method, arguments = reduced
    if not isinstance(getattr(method, "__self__", None), type):
        # scikeras replaces `keras.Model.__reduce__` by one of its own, which
        # returns a function.
        return reduced
    return call_class_method, (
        get_named_class(cls),
        method.__name__,
        *arguments,
    )


def call_class_method(cls: Any, name: str, *args: Any) -> Any:
    """Returns what a class method returns."""
    return getattr(cls, name)(*args)


def get_named_class(cls: Any) -> Any:
    """Returns the class that has the name of a functional model's class."""
    return cls.__mro__[1] if FUNCTIONAL in vars(cls) else cls


def are_functional_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Tells `Model(inputs, outputs)` from the other ways to build a model."""
    return (
        len(args) >= 2
        or (len(args) == 1 and "outputs" in kwargs)
        or ("inputs" in kwargs and "outputs" in kwargs)
    )
