"""The public names of the package."""

import inspect
from types import ModuleType
from typing import Any

import keras_port


def public_names(module: ModuleType) -> dict[str, Any]:
    """Returns the names in `__all__` of a module and of the modules in it."""
    found: dict[str, Any] = {}
    # A module without `__all__` fails in its own test, not at collection.
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        found[f"{module.__name__}.{name}"] = value
        if inspect.ismodule(value):
            found |= public_names(value)
    return found


NAMES = public_names(keras_port)
CODE_NAMES = [
    name
    for name, value in NAMES.items()
    if inspect.isfunction(value) or inspect.isclass(value)
]
