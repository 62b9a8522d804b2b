"""What a TensorFlow 1 checkpoint holds, variable by variable."""

import dataclasses
import os
import re
from typing import Literal

from keras_port.tf1.checkpoint.files import CheckpointFile
from keras_port.tf1.checkpoint.files import open_checkpoint

Kind = Literal["weight", "slot", "step", "other"]
POWER = re.compile(r"(?:.*/)?beta[12]_power(?:_\d+)?")
GLOBAL_STEP = re.compile(r"(?:.*/)?global_step(?:_\d+)?")
FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class CheckpointVariable:
    """Tells what one variable of a TensorFlow 1 checkpoint is.

    Args:
        name: Its name in the file, such as `"conv1/weight"`.
        shape: Its shape.
        dtype: Name of its dtype, such as `"float32"`.
        kind: `"weight"`, `"slot"` (what an optimizer or a moving average
            keeps for a weight), `"step"` (a count of updates, or a power of
            Adam's betas that tells it) or `"other"`.
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
        what = f"slot {self.slot} of {self.of}" if self.of else self.kind
        return f"{self.name} {self.shape} {self.dtype}, {what}"


def list_variables(path: str | os.PathLike[str]) -> list[CheckpointVariable]:
    """Lists what a TensorFlow 1 checkpoint holds, without reading the values.

    Args:
        path: The checkpoint's prefix, such as `"folder/model.ckpt"`; one of
            its files; its folder, whose `checkpoint` file then tells which is
            meant; or a file of the first checkpoint format.

    Returns:
        A list of `CheckpointVariable`, sorted by name, numbers by their value.

    Raises:
        FileNotFoundError: If there is no checkpoint at `path`.
        ValueError: If the file is cut, or is something else.

    Example:

    >>> _ = save_checkpoint(model, "export/model.ckpt")
    >>> for variable in list_variables("export"):
    ...     print(variable)
    W (784, 10) float32, weight
    b (10,) float32, weight
    global_step () int64, step
    """
    return classified(open_checkpoint(path))


def classified(file: CheckpointFile) -> list[CheckpointVariable]:
    """Returns the records of an opened checkpoint."""
    return [
        classify(name, file) for name in sorted(file.shapes, key=natural_key)
    ]


def classify(name: str, file: CheckpointFile) -> CheckpointVariable:
    """Returns the record of one variable."""
    shape, dtype = file.shapes[name], file.dtypes[name]
    if shape == () and POWER.fullmatch(name):
        return CheckpointVariable(name, shape, dtype, "step")
    if shape == () and GLOBAL_STEP.fullmatch(name):
        return CheckpointVariable(name, shape, dtype, "step")
    owner = slot_owner(name, file)
    if owner is not None:
        slot = name.rpartition("/")[2]
        return CheckpointVariable(name, shape, dtype, "slot", slot, owner)
    kind: Kind = "weight" if dtype in FLOATS else "other"
    return CheckpointVariable(name, shape, dtype, kind)


def slot_owner(name: str, file: CheckpointFile) -> str | None:
    """Returns the variable for which a slot was made, if it is one.

    TensorFlow 1 makes the slots of `W` as `W/Adam` and `W/Adam_1`. Nothing
    else is called like that: a scope `W` beside a variable `W` would have
    become `W_1`. An optimizer inside a scope has it in front once more:
    `net/net/W/Adam` belongs to `net/W`.
    """
    scopes = name.split("/")[:-1]
    for start in range(len(scopes)):
        owner = "/".join(scopes[start:])
        if file.shapes.get(owner) == file.shapes[name] and (
            file.dtypes[owner] == file.dtypes[name]
        ):
            return owner
    return None


def natural_key(name: str) -> list[tuple[int, str]]:
    """Returns a key that sorts `Variable_2` before `Variable_10`."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", name)
    ]
