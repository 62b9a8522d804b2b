"""Maps TensorFlow 1's optimizer slots to the variables of Keras optimizers."""

from collections.abc import Sequence
import dataclasses

import keras
import numpy as np

from keras_port.optimizers import Adam

_WITHOUT = "`include_optimizer=False` leaves out the optimizer's state."


@dataclasses.dataclass(frozen=True)
class SlotLayout:
    """Describes what TensorFlow 1 saves for every weight under an optimizer.

    Args:
        name: TensorFlow 1's name of the optimizer. The slots of `W` are
            `W/<name>`, `W/<name>_1` and so on.
        slots: The end of the name of the Keras variable for every slot, in
            that order, or `None` where Keras keeps nothing.
        factor: Keras' value is TensorFlow 1's value times this.
        betas: Adam's two decay rates, if their powers hold the step count.
    """

    name: str
    slots: tuple[str | None, ...]
    factor: float = 1.0
    betas: tuple[float, float] | None = None

    def slot_name(self, weight: str, index: int) -> str:
        """Returns TensorFlow 1's name of a slot of a weight."""
        return f"{weight}/{self.name}{f'_{index}' if index else ''}"

    def slot_paths(
        self, optimizer: keras.optimizers.Optimizer, weight_path: str
    ) -> list[str]:
        """Returns the slots of a weight as a report names them.

        They are in TensorFlow 1's order, with `""` where Keras keeps nothing.
        """
        return [
            f"{optimizer.name}/{weight_path}/{slot}" if slot else ""
            for slot in self.slots
        ]

    def to_keras(self, value: np.ndarray) -> np.ndarray:
        """Converts the value of a TensorFlow 1 slot for Keras."""
        return np.asarray(value * self.factor, value.dtype)

    def to_tf1(self, value: np.ndarray) -> np.ndarray:
        """Converts the value of a Keras slot for TensorFlow 1."""
        return np.asarray(value / self.factor, value.dtype)


def get_slot_layout(optimizer: keras.optimizers.Optimizer) -> SlotLayout:
    """Returns the layout of an optimizer's state in TensorFlow 1.

    Raises:
        ValueError: If the optimizer keeps state that TensorFlow 1 does not.
    """
    for key in ("use_ema", "gradient_accumulation_steps"):
        if getattr(optimizer, key, None):
            raise ValueError(
                f"`{key}` keeps state that TensorFlow 1's optimizers do not "
                f"have. {_WITHOUT}"
            )
    if isinstance(optimizer, Adam | keras.optimizers.Adam):
        if getattr(optimizer, "amsgrad", False):
            raise ValueError(
                "`amsgrad=True` keeps a maximum of the velocity, which "
                f"TensorFlow 1's Adam does not have. {_WITHOUT}"
            )
        betas = float(optimizer.beta_1), float(optimizer.beta_2)
        return SlotLayout("Adam", ("momentum", "velocity"), betas=betas)
    if isinstance(optimizer, keras.optimizers.RMSprop):
        middle = ("average_gradient",) if optimizer.centered else ()
        last = "momentum" if optimizer.momentum > 0 else None
        return SlotLayout("RMSProp", ("velocity", *middle, last))
    if isinstance(optimizer, keras.optimizers.SGD):
        if optimizer.momentum == 0:
            return SlotLayout("", ())
        return SlotLayout(
            "Momentum", ("momentum",), factor=-_get_constant_rate(optimizer)
        )
    raise ValueError(
        "The optimizer's state can be converted for Adam, SGD with or without "
        "momentum, and RMSprop. Received: "
        f"{type(optimizer).__name__}. {_WITHOUT}"
    )


def has_optimizer(model: keras.Model) -> bool:
    """Returns whether a model is compiled with an optimizer."""
    # A model that is not compiled has no attribute of this name.
    return getattr(model, "optimizer", None) is not None


def build_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Returns the model's optimizer and creates its slots if needed."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return optimizer


def find_slots(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    slot: str,
) -> dict[str, keras.Variable]:
    """Returns an optimizer's slots by the paths of the model's variables.

    Searches by the name that Keras derives from the path, since the optimizers
    offer no other link between the two.
    """
    by_name: dict[str, list[keras.Variable]] = {}
    for candidate in optimizer.variables:
        by_name.setdefault(candidate.name, []).append(candidate)
    found = {}
    for variable in variables:
        # `a/b_c` and `a_b/c` give one name. The slots are in the same order.
        queue = by_name.get(f"{variable.path.replace('/', '_')}_{slot}", [])
        if queue:
            found[variable.path] = queue.pop(0)
    return found


def _get_constant_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns a learning rate that is a number other than 0.

    TensorFlow 1's momentum accumulates gradients. Keras' momentum accumulates
    steps, which are gradients times minus the learning rate. One determines
    the other only while the rate stays constant.
    """
    if isinstance(optimizer.get_config()["learning_rate"], dict):
        raise ValueError(
            "Momentum cannot be converted under a learning rate schedule: "
            "Keras' momentum contains the rates of all past steps, TensorFlow "
            f"1's contains none. {_WITHOUT}"
        )
    rate = float(optimizer.learning_rate)
    if rate == 0:
        raise ValueError(
            "Momentum cannot be converted with `learning_rate=0`, since it is "
            f"multiplied or divided by the learning rate. {_WITHOUT}"
        )
    return rate
