"""Lists the variables of a TensorFlow 1 checkpoint."""

import dataclasses
import os
import re
from typing import Literal

from keras_port._support import show_name
from keras_port.tf1._files import CheckpointFile
from keras_port.tf1._files import open_checkpoint
from keras_port.tf1._slot_names import find_slot_owner

Kind = Literal["weight", "slot", "step", "other"]
GLOBAL_STEP = re.compile(r"(?:.*/)?global_step(?:_\d+)?")
_POWER = re.compile(r"(?:.*/)?beta[12]_power(?:_\d+)?")
_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class CheckpointVariable:
    """Describes one variable of a TensorFlow 1 checkpoint.

    Args:
        name: Its name in the file, such as `"conv1/weight"`.
        shape: Its shape.
        dtype: Name of its dtype, such as `"float32"`.
        kind: `"weight"`, `"slot"` (a variable that an optimizer or a moving
            average keeps for a weight), `"step"` (a count of updates, or a
            power of Adam's betas that determines it) or `"other"`.
        slot: Name of the slot, such as `"Adam_1"`, or `None`.
        of: Name of the variable that the slot belongs to, or `None`.

    Example:

    >>> variable = CheckpointVariable(
    ...     "W/Adam", (784, 10), "float32", "slot", slot="Adam", of="W"
    ... )
    >>> print(variable)
    W/Adam (784, 10) float32, slot Adam of W
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    slot: str | None = None
    of: str | None = None

    def __str__(self) -> str:
        what: str = self.kind
        if self.of:
            what = f"slot {show_name(self.slot or '')} of {show_name(self.of)}"
        return f"{show_name(self.name)} {self.shape} {self.dtype}, {what}"


def list_variables(path: str | os.PathLike[str]) -> list[CheckpointVariable]:
    """Lists the variables of a TensorFlow 1 checkpoint, without their values.

    Args:
        path: The checkpoint's prefix, such as `"folder/model.ckpt"`; one of
            its files; its folder, whose `checkpoint` file then names the
            prefix; or a file of the first checkpoint format.

    Returns:
        A list of `CheckpointVariable`, sorted by name, with numbers in names
        sorted by value.

    Raises:
        FileNotFoundError: If there is no checkpoint at `path`.
        ValueError: If the file is truncated or is not a TensorFlow 1
            checkpoint.

    Example:

    >>> _ = save_checkpoint(model, "export/model.ckpt")
    >>> for variable in list_variables("export"):
    ...     print(variable)
    W (784, 10) float32, weight
    b (10,) float32, weight
    global_step () int64, step
    """
    return describe_variables(open_checkpoint(path))


def describe_variables(file: CheckpointFile) -> list[CheckpointVariable]:
    """Returns the variables of an open checkpoint, sorted by name."""
    return [
        _describe_variable(name, file)
        for name in sorted(file.shapes, key=natural_key)
    ]


def natural_key(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts `Variable_2` before `Variable_10`."""
    # By length and then by digits: Python makes no number of 5,000 digits.
    return [
        (len(part.lstrip("0")), part.lstrip("0"))
        if part.isdigit()
        else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _describe_variable(name: str, file: CheckpointFile) -> CheckpointVariable:
    """Returns the record of one variable."""
    shape, dtype = file.shapes[name], file.dtypes[name]
    if shape == () and (_POWER.fullmatch(name) or GLOBAL_STEP.fullmatch(name)):
        return CheckpointVariable(name, shape, dtype, "step")
    owner = find_slot_owner(name, file.shapes, file.dtypes)
    if owner is not None:
        slot = name.rpartition("/")[2]
        return CheckpointVariable(name, shape, dtype, "slot", slot, owner)
    kind: Kind = "weight" if dtype in _FLOATS else "other"
    return CheckpointVariable(name, shape, dtype, kind)
