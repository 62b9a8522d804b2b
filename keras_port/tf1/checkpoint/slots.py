"""Which slot of TensorFlow 1 is which variable of a Keras optimizer."""

from collections.abc import Sequence
import dataclasses

import keras
import numpy as np

from keras_port.optimizers import Adam

WITHOUT = "`optimizer=False` leaves the optimizer's state out."


@dataclasses.dataclass(frozen=True)
class SlotLayout:
    """What TensorFlow 1 keeps for each weight under an optimizer.

    Args:
        name: TensorFlow 1's name of the optimizer; the slots of `W` are
            `W/<name>`, `W/<name>_1` and so on.
        slots: The Keras variables in that order, by the end of their names,
            `None` where Keras keeps nothing.
        factor: Keras' value is that of TensorFlow 1 times this.
        betas: Adam's two decays, if the step count is kept as their powers.
    """

    name: str
    slots: tuple[str | None, ...]
    factor: float = 1.0
    betas: tuple[float, float] | None = None

    def slot_name(self, weight: str, index: int) -> str:
        """Returns TensorFlow 1's name of a weight's slot."""
        return f"{weight}/{self.name}{f'_{index}' if index else ''}"


def slot_layout(optimizer: keras.optimizers.Optimizer) -> SlotLayout:
    """Returns the layout of an optimizer's state in TensorFlow 1.

    Raises:
        ValueError: If TensorFlow 1 has no place for what it keeps.
    """
    for key in ("use_ema", "gradient_accumulation_steps"):
        if getattr(optimizer, key, None):
            raise ValueError(
                f"`{key}` has a state that TensorFlow 1's optimizers have not. "
                f"{WITHOUT}"
            )
    if isinstance(optimizer, Adam | keras.optimizers.Adam):
        if getattr(optimizer, "amsgrad", False):
            raise ValueError(
                "`amsgrad=True` keeps a largest velocity, which TensorFlow "
                f"1's Adam has not. {WITHOUT}"
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
            "Momentum", ("momentum",), factor=-constant_rate(optimizer)
        )
    raise ValueError(
        "TensorFlow 1's state can be moved for Adam, SGD with or without "
        "momentum, and RMSprop. Received: "
        f"{type(optimizer).__name__}. {WITHOUT}"
    )


def constant_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns a learning rate that is a number other than 0.

    TensorFlow 1's momentum adds up gradients, that of Keras adds up steps,
    which are the gradients times minus the learning rate. The one gives the
    other only while the rate stays what it is.
    """
    if isinstance(optimizer.get_config()["learning_rate"], dict):
        raise ValueError(
            "Momentum cannot be moved under a schedule of the learning rate: "
            "Keras' momentum holds the rates of all steps so far, that of "
            f"TensorFlow 1 holds none. {WITHOUT}"
        )
    rate = float(optimizer.learning_rate)
    if rate == 0:
        raise ValueError(
            "Momentum cannot be moved with `learning_rate=0`, by which it is "
            f"multiplied or divided. {WITHOUT}"
        )
    return rate


def has_optimizer(model: keras.Model) -> bool:
    """Tells whether a model is compiled with an optimizer."""
    # A model that is not compiled has no attribute of this name.
    return getattr(model, "optimizer", None) is not None


def build_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Returns the model's optimizer with its slots made."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return optimizer


def keras_slots(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    slot: str,
) -> dict[str, keras.Variable]:
    """Returns an optimizer's slots by the paths of the model's variables.

    Found by the name that Keras makes of the path, since the optimizers give
    out no other tie between the two.
    """
    named: dict[str, list[keras.Variable]] = {}
    for candidate in optimizer.variables:
        named.setdefault(candidate.name, []).append(candidate)
    found = {}
    for variable in variables:
        # `a/b_c` and `a_b/c` give one name; the slots are in the same order.
        queue = named.get(f"{variable.path.replace('/', '_')}_{slot}", [])
        if queue:
            found[variable.path] = queue.pop(0)
    return found


def to_keras(value: np.ndarray, layout: SlotLayout) -> np.ndarray:
    """Returns TensorFlow 1's slot as Keras keeps it."""
    return np.asarray(value * layout.factor, value.dtype)


def to_tf1(value: np.ndarray, layout: SlotLayout) -> np.ndarray:
    """Returns Keras' slot as TensorFlow 1 keeps it."""
    return np.asarray(value / layout.factor, value.dtype)
