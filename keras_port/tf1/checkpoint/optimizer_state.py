"""Finds an optimizer's slots and step count in a TensorFlow 1 checkpoint."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import keras

from keras_port.tf1.checkpoint.files import CheckpointFile
from keras_port.tf1.checkpoint.model_weights import ModelWeight
from keras_port.tf1.checkpoint.slots import SlotLayout
from keras_port.tf1.checkpoint.step import is_readable
from keras_port.tf1.checkpoint.step import step_of
from keras_port.tf1.checkpoint.variables import GLOBAL_STEP
from keras_port.tf1.checkpoint.variables import CheckpointVariable

# Optimizers whose slots are not mistaken for those of one with a custom name.
KNOWN = (
    "Adam",
    "Momentum",
    "RMSProp",
    "Adagrad",
    "AdagradDA",
    "Adadelta",
    "Ftrl",
    "ExponentialMovingAverage",
)


@dataclasses.dataclass(frozen=True)
class OptimizerState:
    """The part of a checkpoint that belongs to the model's optimizer.

    Args:
        slots: For the path of a weight, the names of its slots in the file in
            TensorFlow 1's order.
        missing: Paths of weights whose slots the file has not.
        step: Count of updates, `None` if the file does not tell.
        step_names: Names in the file that told it.
    """

    slots: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]
    step: int | None
    step_names: tuple[str, ...]


def find_state(
    layout: SlotLayout,
    weights: Sequence[ModelWeight],
    pairs: Mapping[str, str],
    variables: Sequence[CheckpointVariable],
    file: CheckpointFile,
    step: int | None,
) -> OptimizerState:
    """Returns where the state of an optimizer lies in the file.

    Raises:
        ValueError: If it is that of another optimizer, or of several.
    """
    slots: dict[str, tuple[str, ...]] = {}
    missing = []
    for weight in weights if layout.slots else ():
        name = pairs.get(weight.path)
        found = slots_of(name, layout, variables) if name else ()
        if found:
            slots[weight.path] = found
        else:
            missing.append(weight.path)
    step, step_names = find_step(layout, variables, file, step)
    return OptimizerState(slots, tuple(missing), step, step_names)


def slots_of(
    name: str, layout: SlotLayout, variables: Sequence[CheckpointVariable]
) -> tuple[str, ...]:
    """Returns the slots of one variable in TensorFlow 1's order."""
    groups: dict[str, list[str]] = {}
    for variable in variables:
        if variable.of == name and variable.slot:
            base, _, number = variable.slot.rpartition("_")
            base = base if number.isdigit() and base else variable.slot
            groups.setdefault(base, []).append(variable.name)
    if layout.name not in groups:
        # TensorFlow 1 names slots after the optimizer's `name`.
        custom = [base for base in groups if base not in KNOWN]
        if len(custom) != 1 or len(groups[custom[0]]) != len(layout.slots):
            return ()
        return tuple(groups[custom[0]])
    found = groups[layout.name]
    if len(found) != len(layout.slots):
        raise ValueError(
            f"The file holds {len(found)} slots {layout.name} of {name!r} "
            f"({', '.join(found)}), and the model's optimizer keeps "
            f"{len(layout.slots)}. Several optimizers have worked on it, or "
            "RMSProp with another `centered`. Compile with the file's "
            "optimizer, or load with `optimizer=False`."
        )
    return tuple(found)


def find_step(
    layout: SlotLayout,
    variables: Sequence[CheckpointVariable],
    file: CheckpointFile,
    step: int | None,
) -> tuple[int | None, tuple[str, ...]]:
    """Returns the step count and the names in the file that told it."""
    if step is not None:
        return step, ()
    names = [variable.name for variable in variables if variable.kind == "step"]
    counters = [name for name in names if GLOBAL_STEP.fullmatch(name)]
    if layout.betas:
        powers = [name for name in names if name not in counters]
        counted = step_of_powers(layout.betas, powers, file)
        if counted is not None:
            return counted, tuple(powers)
    if len(counters) == 1:
        return int(file.read(counters[0])), (counters[0],)
    if len(counters) > 1:
        raise ValueError(
            f"The file holds several step counts: {', '.join(counters)}. Say "
            "which is meant by `step=`."
        )
    return None, ()


def step_of_powers(
    betas: tuple[float, float], names: Sequence[str], file: CheckpointFile
) -> int | None:
    """Returns the step count that Adam's powers tell, or `None`.

    Raises:
        ValueError: If the powers are of several optimizers, or of other betas.
    """
    found: list[int | None] = []
    for beta, key in zip(betas, ("beta1_power", "beta2_power"), strict=True):
        values = {
            float(value): value
            for value in (file.read(name) for name in names if key in name)
        }
        if len(values) > 1:
            raise ValueError(
                f"The file holds several {key}: several Adam optimizers have "
                "worked on it. Say which step count is meant by `step=`."
            )
        for value in values.values():
            # The power of 0.9 reaches 0 after some 800 steps, that of 0.999
            # after 87,000.
            if is_readable(value):
                found.append(step_of(value, beta))
    if None in found or len(set(found)) > 1:
        raise ValueError(
            f"The file's beta1_power and beta2_power are not those of "
            f"beta_1={betas[0]} and beta_2={betas[1]} after the same number of "
            "steps. Compile with the betas of the TensorFlow 1 optimizer, or "
            "say the step count by `step=`."
        )
    return found[0] if found else None


def slot_paths(
    optimizer: keras.optimizers.Optimizer, path: str, layout: SlotLayout
) -> list[str]:
    """Returns how a report calls the slots of a weight, in TF1's order."""
    return [
        f"{optimizer.name}/{path}/{slot}" if slot else ""
        for slot in layout.slots
    ]
