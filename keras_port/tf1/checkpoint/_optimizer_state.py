"""Finds an optimizer's state in a checkpoint, and prepares it for one."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import keras
import numpy as np

from keras_port.tf1._files import CheckpointFile
from keras_port.tf1.checkpoint._adam_powers import find_powers
from keras_port.tf1.checkpoint._model_weights import ModelWeight
from keras_port.tf1.checkpoint._slots import SlotLayout
from keras_port.tf1.checkpoint._slots import build_optimizer
from keras_port.tf1.checkpoint._slots import find_slots
from keras_port.tf1.checkpoint._slots import get_slot_layout
from keras_port.tf1.checkpoint._step_count import compute_power
from keras_port.tf1.checkpoint._step_count import determines_step_count
from keras_port.tf1.checkpoint._step_count import find_step_count
from keras_port.tf1.checkpoint.variables import GLOBAL_STEP
from keras_port.tf1.checkpoint.variables import CheckpointVariable

# Slots with these names belong to another optimizer, not to the model's
# optimizer under a custom name.
_KNOWN_NAMES = (
    "Adam",
    "Momentum",
    "RMSProp",
    "Adagrad",
    "AdagradDA",
    "Adadelta",
    "Ftrl",
    "ExponentialMovingAverage",
)
POWERS = ("beta1_power", "beta2_power")


@dataclasses.dataclass(frozen=True)
class OptimizerState:
    """Says where a checkpoint holds the state of the model's optimizer.

    Args:
        slots: For the path of a weight, the names of its slots in the file,
            in TensorFlow 1's order.
        missing: Paths of weights whose slots are not in the file.
        step: Number of updates, or `None` if the file does not contain it.
        step_names: Names in the file that determine `step`.
        counters: Names of the step counts that may be the optimizer's.
        powers: Names of Adam's powers that may be the optimizer's.
    """

    slots: dict[str, tuple[str, ...]]
    missing: tuple[str, ...]
    step: int | None
    step_names: tuple[str, ...]
    counters: tuple[str, ...]
    powers: tuple[str, ...]


class ExportedVariable(NamedTuple):
    """Path in the optimizer and value of a variable to write."""

    path: str
    value: np.ndarray


def find_state(
    layout: SlotLayout,
    weights: Sequence[ModelWeight],
    pairs: Mapping[str, str],
    variables: Sequence[CheckpointVariable],
    file: CheckpointFile,
    step: int | None,
    scope: str,
) -> OptimizerState:
    """Returns where the optimizer's state is in the file.

    Args:
        layout: What TensorFlow 1 saves for every weight.
        weights: The trainable weights.
        pairs: Name in the file for the path of every weight.
        variables: All variables of the file.
        file: The checkpoint.
        step: The step count if the user gave it.
        scope: The scope of the weights, with a slash, or `""`.

    Raises:
        ValueError: If the state belongs to another optimizer or to several.
    """
    slots: dict[str, tuple[str, ...]] = {}
    missing = []
    for weight in weights if layout.slots else ():
        name = pairs.get(weight.path)
        found = _find_slot_names(name, layout, variables) if name else ()
        if found:
            slots[weight.path] = found
        else:
            missing.append(weight.path)
    counters, powers = _find_step_variables(variables, file, pairs, scope)
    step, step_names = _find_step(layout, counters, powers, file, step)
    return OptimizerState(
        slots, tuple(missing), step, step_names, counters, powers
    )


def pair_slots(
    model: keras.Model, layout: SlotLayout, state: OptimizerState
) -> list[tuple[keras.Variable, str]]:
    """Returns the optimizer's variables for slots and their names in a file."""
    optimizer = build_optimizer(model)
    pairs = []
    for index, slot in enumerate(layout.slots):
        if slot is not None:
            slots = find_slots(optimizer, model.trainable_variables, slot)
            pairs += [
                (slots[path], names[index])
                for path, names in state.slots.items()
                if path in slots
            ]
    return pairs


def export_state(
    model: keras.Model, names: Mapping[str, str]
) -> dict[str, ExportedVariable]:
    """Returns the optimizer's state as TensorFlow 1 variables, by name."""
    layout = get_slot_layout(model.optimizer)
    optimizer = build_optimizer(model)
    trainable = model.trainable_variables
    state = {}
    for index, slot in enumerate(layout.slots):
        slots = find_slots(optimizer, trainable, slot) if slot else {}
        for variable in trainable:
            name = layout.slot_name(names[variable.path], index)
            if variable.path in slots:
                found = slots[variable.path]
                value = layout.to_tf1(np.asarray(found))
                state[name] = ExportedVariable(found.path, value)
            else:
                # TensorFlow 1 keeps a slot that this optimizer does not have.
                zeros = np.zeros(tuple(variable.shape), variable.dtype)
                state[name] = ExportedVariable("zeros", zeros)
    step = int(optimizer.iterations.numpy())
    counter = optimizer.iterations.path
    for beta, key in zip(layout.betas or (), POWERS, strict=False):
        power = np.asarray(compute_power(beta, step))
        state[key] = ExportedVariable(counter, power)
    state["global_step"] = ExportedVariable(counter, np.asarray(step, "int64"))
    return state


def _find_slot_names(
    name: str, layout: SlotLayout, variables: Sequence[CheckpointVariable]
) -> tuple[str, ...]:
    """Returns the slots of one variable, in TensorFlow 1's order."""
    groups: dict[str, list[str]] = {}
    for variable in variables:
        if variable.of == name and variable.slot:
            base, _, number = variable.slot.rpartition("_")
            base = base if number.isdigit() and base else variable.slot
            groups.setdefault(base, []).append(variable.name)
    if layout.name not in groups:
        # TensorFlow 1 names slots after the optimizer's `name`.
        custom = [base for base in groups if base not in _KNOWN_NAMES]
        if len(custom) != 1 or len(groups[custom[0]]) != len(layout.slots):
            return ()
        return tuple(groups[custom[0]])
    found = groups[layout.name]
    if len(found) != len(layout.slots):
        raise ValueError(
            f"The file holds {len(found)} slots {layout.name} of {name!r} "
            f"({', '.join(found)}), but the model's optimizer keeps "
            f"{len(layout.slots)}. Several optimizers have updated it, or "
            "RMSProp had a different `centered`. Compile with the optimizer "
            "that wrote the file, or load with `include_optimizer=False`."
        )
    return tuple(found)


def _find_step_variables(
    variables: Sequence[CheckpointVariable],
    file: CheckpointFile,
    pairs: Mapping[str, str],
    scope: str,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the step counts and the powers that may be the optimizer's.

    Of several optimizers, the `.meta` file says which updates the weights, or
    else the scope may.
    """
    names = [variable.name for variable in variables if variable.kind == "step"]
    counters = [name for name in names if GLOBAL_STEP.fullmatch(name)]
    powers = [name for name in names if name not in counters]
    own = [name for name in powers if name.startswith(scope)]
    if len(powers) > len(POWERS):
        used = find_powers(file.prefix, set(pairs.values()))
        own = [name for name in powers if name in used] or own
    inside = [name for name in counters if name.startswith(scope)]
    return tuple(inside or counters), tuple(own or powers)


def _find_step(
    layout: SlotLayout,
    counters: Sequence[str],
    powers: Sequence[str],
    file: CheckpointFile,
    step: int | None,
) -> tuple[int | None, tuple[str, ...]]:
    """Returns the step count and the names in the file that determine it."""
    if step is not None:
        return step, ()
    if layout.betas:
        counted = _find_step_in_powers(layout.betas, powers, file)
        if counted is not None:
            return counted, tuple(powers)
    if len(counters) == 1:
        return int(file.read(counters[0])), (counters[0],)
    if len(counters) > 1:
        raise ValueError(
            f"The file holds several step counts: {', '.join(counters)}. Give "
            "the right one with `step=`."
        )
    return None, ()


def _find_step_in_powers(
    betas: tuple[float, float], names: Sequence[str], file: CheckpointFile
) -> int | None:
    """Returns the step count that Adam's powers determine, or `None`.

    Raises:
        ValueError: If the powers belong to several optimizers or other betas.
    """
    found: list[int | None] = []
    for beta, key in zip(betas, POWERS, strict=True):
        values = {
            float(value): value
            for value in (file.read(name) for name in names if key in name)
        }
        if len(values) > 1:
            raise ValueError(
                f"The file holds several {key}: several Adam optimizers have "
                "updated the weights. Give the right step count with `step=`."
            )
        for value in values.values():
            # The power of 0.9 reaches 0 after some 800 steps, that of 0.999
            # after 87,000.
            if determines_step_count(value):
                found.append(find_step_count(value, beta))
    if None in found or len(set(found)) > 1:
        raise ValueError(
            f"The file's beta1_power and beta2_power are not the powers of "
            f"beta_1={betas[0]} and beta_2={betas[1]} after the same number of "
            "steps. Compile with the betas of the TensorFlow 1 optimizer, or "
            "give the step count with `step=`."
        )
    return found[0] if found else None
