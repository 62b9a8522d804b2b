"""Puts the package's classes in the place of Keras' in a test file of Keras.

A copy of the file calls `substitute` after its imports. Nothing else in it
changes: the tests ask what they ask of Keras.
"""

from collections.abc import Iterable
from collections.abc import MutableMapping
import types
from typing import Any

import keras

from keras_port import layers
from keras_port import optimizers
from keras_port import training

# A class of Keras, and what the tests get in its place.
Classes = dict[Any, Any]


def substitute(
    namespace: MutableMapping[str, Any], side: str, groups: Iterable[str]
) -> None:
    """Replaces classes of Keras among the imports of a test file.

    Args:
        namespace: The `globals()` of the file.
        side: "ours", or "control" for what our classes need to be in place, but
            with Keras' own classes: what fails there is not our fault.
        groups: Which classes, names of `GROUPS`.
    """
    classes: Classes = {}
    for group in groups:
        classes |= GROUPS[group](side)
    modules: dict[int, types.ModuleType] = {}
    for name, value in list(namespace.items()):
        if isinstance(value, types.ModuleType):
            if value.__name__.partition(".")[0] == "keras":
                namespace[name] = view(value, classes, modules)
        elif isinstance(value, type) and value in classes:
            namespace[name] = classes[value]


class View(types.ModuleType):
    """A module of Keras, with some of its classes replaced."""

    def __init__(
        self,
        module: types.ModuleType,
        classes: Classes,
        modules: dict[int, types.ModuleType],
    ) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _classes=classes, _modules=modules)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, types.ModuleType):
            return view(value, self._classes, self._modules)
        if isinstance(value, type):
            return self._classes.get(value, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        # A test that patches a module patches the real one.
        setattr(self._module, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._module, name)


def view(
    module: types.ModuleType,
    classes: Classes,
    modules: dict[int, types.ModuleType],
) -> types.ModuleType:
    """Returns a module with the classes replaced, one view for each."""
    if module.__name__.partition(".")[0] != "keras":
        return module
    if id(module) not in modules:
        modules[id(module)] = View(module, classes, modules)
    return modules[id(module)]


def models(side: str) -> Classes:
    """Returns `GradientModel` for each of Keras' bases of a model."""
    base = training.GradientModel if side == "ours" else keras.Model
    classes = {keras.Model: base, keras.Sequential: sequential(base)}
    if side == "ours":
        classes[functional_class()] = base
    classes[trainer_class()] = TrainerOf(base)
    return classes


def models_but_functional(side: str) -> Classes:
    """Returns the same, but leaves the functional class alone.

    The tests of `Sequential` look at the class of the model inside of it.
    """
    classes = models(side)
    return {
        stock: made
        for stock, made in classes.items()
        if stock.__name__ != "Functional"
    }


def functional_class() -> Any:
    """Returns the class of functional models, which has no public name.

    Without making one, since a test may want to divide the devices first.
    """
    return next(
        subclass
        for subclass in keras.Model.__subclasses__()
        if subclass.__name__ == "Functional"
    )


def trainer_class() -> Any:
    """Returns the base of `keras.Model` that trains."""
    return next(
        base
        for base in keras.Model.__mro__
        if base.__name__ == "TensorFlowTrainer"
    )


class TrainerOf:
    """Stands for Keras' base class `Trainer`, and makes a model of a layer.

    The tests of `Trainer` write `class A(Trainer, layers.Dense)`. A whole model
    in its place hides the `call` of the layer, so it goes behind the layer.

    Args:
        base: The class of the model.
    """

    def __init__(self, base: Any) -> None:
        self._base = base
        # What the tests call as `Trainer.__init__(self)`.
        self.__dict__["__init__"] = self._initialize

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the bases of a class that is made from this object."""
        others = [
            base for base in bases if base not in (self, keras.layers.Layer)
        ]
        if not others:
            return (self._base,)
        return (types.new_class("LayerModel", (*others, self._base)),)

    def _initialize(self, model: Any) -> None:
        # A layer before the model has initialized the model too.
        if not hasattr(model, "compiled"):
            policy = model.dtype_policy
            self._base.__init__(model, name=model.name, dtype=policy)


def sequential(base: Any) -> Any:
    """Returns a `Sequential` that is also a `base`."""
    bases = (base, keras.Sequential)
    if base is keras.Model:
        bases = (keras.Sequential,)
    made = types.new_class("Sequential", bases)
    made.__module__ = __name__
    # pickle finds a class under its module's name.
    globals()["Sequential"] = made
    registered: Any = keras.saving.register_keras_serializable("keras_suites")(
        made
    )
    return registered


def dense(side: str) -> Classes:
    """Returns our dense layer, with the fast gradient where it pays."""
    ours = layers.TransposedGradientDense
    return {keras.layers.Dense: ours} if side == "ours" else {}


def dropout(side: str) -> Classes:
    """Returns our dropout."""
    ours = layers.Dropout
    return {keras.layers.Dropout: ours} if side == "ours" else {}


def adam(side: str) -> Classes:
    """Returns our Adam."""
    ours = optimizers.Adam
    return {keras.optimizers.Adam: ours} if side == "ours" else {}


GROUPS = {
    "models": models,
    "models but Functional": models_but_functional,
    "Dense": dense,
    "Dropout": dropout,
    "Adam": adam,
}
