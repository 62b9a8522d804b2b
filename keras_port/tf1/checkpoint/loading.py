"""Loads a TensorFlow 1 checkpoint into a Keras model."""

from collections.abc import Sequence
import dataclasses
import os
import re
from typing import get_args

import keras
import numpy as np

from keras_port._support import check_integer
from keras_port._support import show_name
from keras_port.tf1._files import open_checkpoint
from keras_port.tf1._files import show_path
from keras_port.tf1.checkpoint._matching import Match
from keras_port.tf1.checkpoint._matching import Names
from keras_port.tf1.checkpoint._optimizer_state import pair_slots
from keras_port.tf1.checkpoint._pairing import Pairing
from keras_port.tf1.checkpoint._pairing import ShapeDifference
from keras_port.tf1.checkpoint._pairing import pair_checkpoint
from keras_port.tf1.checkpoint._slots import build_optimizer

# Cells that keep the weights of inputs and state in one kernel.
_CELL = re.compile(r"(?:basic_)?(?:lstm|gru)_cell(?:_\d+)?(?=/|$)")


def load_checkpoint(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    names: Names | None = None,
    match: Match = "auto",
    scope: str | None = None,
    include_optimizer: bool = True,
    step: int | None = None,
    strict: bool = True,
) -> "LoadReport":
    """Loads weights, optimizer slots and step count of a TensorFlow 1 file.

    Without `names`, variables are matched to weights by name (`conv1/weight`
    is the kernel of the layer `conv1`, `W` the only kernel), or else by the
    order in which they were created (`Variable`, `Variable_1`, ..., or the
    order in the `.meta` file), or else by shapes: those that occur once, and
    in the order of creation those that occur as often in the model. The first
    way that gives every weight a variable of its shape is used. Automatic names
    of Keras, such as `dense_1`, are numbered from the model's first layer.

    A variable whose shape differs only in axes of length 1, such as a bias of
    shape (1, 10), is reshaped.

    If the model is compiled, the slots of Adam, momentum or RMSProp and the
    step count are loaded into its optimizer. Everything is read and checked
    before anything is assigned.

    Args:
        model: Any built `keras.Model`.
        path: The checkpoint's prefix, such as `"folder/model.ckpt"`; one of
            its files; its folder, whose `checkpoint` file then names the
            prefix; or a file of the first checkpoint format.
        names: The name in the file for every path in the model, as a
            dictionary or as a function of the path. Defaults to `None`: the
            names are found as `match` says. With a `scope`, its names may leave
            out the scope.
        match: `"name"`, `"order"` or `"shape"` to match in this way only, or
            `"auto"`. Defaults to `"auto"`.
        scope: The scope in the file, such as `"eval_net"`, to use only the
            variables in it. Slots and step count may be elsewhere. Defaults to
            `None`: all variables.
        include_optimizer: Whether to load the slots and the step count, if
            the model is compiled. Defaults to `True`.
        step: Number of updates so far, for a file that does not contain it or
            contains another. Defaults to `None`: read from Adam's powers or
            `global_step`.
        strict: Whether a missing variable or a different shape is an error.
            If `False`, the layers that fit are loaded. A layer of which only
            some weights fit is left unchanged, because half of a layer is
            often that of a different kind of layer; `names` loads it anyway.
            Unused variables are never an error. Defaults to `True`.

    Returns:
        A `LoadReport` of the variables that were used, unused, missing, had
        a different shape, or were left out with the rest of their layer.

    Raises:
        FileNotFoundError: If there is no checkpoint at `path`.
        ValueError: If the file is truncated or is not a TensorFlow 1
            checkpoint; if it does not fit and `strict` is `True`; if the
            optimizer keeps state that TensorFlow 1 does not; or if no variable
            is in `scope`.

    Example:

    >>> _ = save_checkpoint(model, "export/model.ckpt")
    >>> fresh = keras_port.models.build_perceptron()
    >>> report = load_checkpoint(fresh, "export/model.ckpt")
    >>> print(report)
    export/model.ckpt: weights matched by name, step count none
      used: 2
        fc/kernel <- W
        fc/bias <- b
      unused in the file: 1
        global_step
    """
    if match not in get_args(Match):
        raise ValueError(
            f"`match` must be one of {get_args(Match)}. "
            f"Received: match={match!r}"
        )
    if step is not None:
        step = check_integer("step", step, minimum=0, note=", in updates")
    file = open_checkpoint(path)
    pairing = pair_checkpoint(
        model,
        file,
        names=names,
        match=match,
        scope=scope,
        include_optimizer=include_optimizer,
        step=step,
    )
    report = _make_report(pairing)
    if strict and (misfit := pairing.describe_misfit()):
        raise ValueError(
            f"{show_path(file.prefix)} does not fit the model {model.name!r}, "
            f"which is unchanged: {misfit}. {_advise(pairing)}"
        )
    _assign(model, pairing)
    return report


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Lists the variables of a checkpoint that were loaded or left out.

    Args:
        prefix: Prefix of the checkpoint's files.
        matched_by: How variables were matched to weights: `"name"`,
            `"order"`, `"shape"`, `"shape and order"` or `"map"`.
        used: Pairs of a path in the model or its optimizer, and the name in
            the file.
        unused: Names in the file that were not used, without slots. With a
            `scope`, those in it.
        unused_slots: Names of the slots that were not used.
        missing: Paths in the model or its optimizer that have no variable in
            the file.
        misshaped: Records of a `path` and `shape` in the model, and a `name`
            and `file_shape` in the file, where the two shapes differ.
        reshaped: The same for variables that were used, because the shapes
            differ only in axes of length 1.
        interchangeable: Groups of paths in the model that have one shape and
            were paired only by the order of creation, in `"shape and order"`.
            If the program created its variables in another order, two of a
            group are swapped: compare predictions once.
        incomplete: Pairs of a path in the model and a name in the file that
            fit, but were left out because the rest of the layer does not fit.
        step: The optimizer's number of updates after loading, or `None` if
            the file does not contain it or it was not loaded.

    Example:

    >>> _ = save_checkpoint(model, "export/model.ckpt")
    >>> report = load_checkpoint(model, "export")
    >>> report.used[0], report.missing
    (('fc/kernel', 'W'), ())
    """

    prefix: str
    matched_by: str
    used: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]
    unused_slots: tuple[str, ...]
    missing: tuple[str, ...]
    misshaped: tuple[ShapeDifference, ...]
    reshaped: tuple[ShapeDifference, ...]
    interchangeable: tuple[tuple[str, ...], ...]
    incomplete: tuple[tuple[str, str], ...]
    step: int | None

    def __str__(self) -> str:
        step = "none" if self.step is None else f"{self.step:,}"
        lines = [
            f"{show_path(self.prefix)}: weights matched by {self.matched_by}, "
            f"step count {step}"
        ]
        used, incomplete = (
            [f"{path} <- {show_name(name)}" for path, name in pairs]
            for pairs in (self.used, self.incomplete)
        )
        for title, entries in (
            ("used", used),
            (
                "paired by order among equal shapes, so check predictions",
                list(map(", ".join, self.interchangeable)),
            ),
            ("reshaped", self.reshaped),
            ("unused in the file", list(map(show_name, self.unused))),
            (
                "unused slots in the file",
                list(map(show_name, self.unused_slots)),
            ),
            ("missing in the file", self.missing),
            ("different shape", self.misshaped),
            (
                "left out, because the rest of the layer does not fit",
                incomplete,
            ),
        ):
            lines += _format_section(title, entries)
        return "\n".join(lines)


def _make_report(pairing: Pairing) -> LoadReport:
    """Returns what a user sees of a pairing."""
    unused, slots = pairing.list_unused()
    return LoadReport(
        prefix=os.fspath(pairing.file.prefix),
        matched_by=pairing.matching.matched_by,
        used=tuple(pairing.used),
        unused=tuple(variable.name for variable in unused),
        unused_slots=tuple(variable.name for variable in slots),
        missing=tuple(pairing.missing),
        misshaped=pairing.misshaped,
        reshaped=pairing.reshaped,
        interchangeable=pairing.matching.interchangeable,
        incomplete=pairing.incomplete,
        step=pairing.state.step if pairing.state else None,
    )


def _assign(model: keras.Model, pairing: Pairing) -> None:
    """Reads all values, then assigns them."""
    values = {name: pairing.file.read(name) for _, name in pairing.used}
    assignments: list[tuple[keras.Variable, np.ndarray]] = [
        (weight.variable, values[pairing.pairs[weight.path]])
        for weight in pairing.weights
        if weight.path in pairing.pairs
    ]
    if pairing.layout is not None and pairing.state is not None:
        layout = pairing.layout
        optimizer = build_optimizer(model)
        assignments += [
            (slot, layout.to_keras(values[name]))
            for slot, name in pair_slots(model, layout, pairing.state)
        ]
        if pairing.state.step is not None:
            step = np.asarray(pairing.state.step)
            assignments.append((optimizer.iterations, step))
    for variable, value in assignments:
        variable.assign(np.reshape(value, variable.shape))


def _advise(pairing: Pairing) -> str:
    """Returns what to do if the file does not fit."""
    advice = (
        "Map the variables with `names={path: name}`, load the layers that fit "
        "with `strict=False`, or load only the weights with "
        "`include_optimizer=False`."
    )
    layout, state = pairing.layout, pairing.state
    if layout and layout.betas and state and state.step is None:
        advice = f"Give the number of updates with `step=`. {advice}"
    for variable in pairing.variables:
        if cell := _CELL.search(variable.name):
            return (
                f"{cell[0]!r} in the file is a recurrent cell of TensorFlow 1, "
                "which has other weights than Keras' layer, with the gates in "
                "a different order, so it cannot be loaded into one. Use "
                f"`tf1.GraphLayer` for this part. For the others: {advice}"
            )
    return advice


def _format_section(title: str, entries: Sequence[object]) -> list[str]:
    """Returns the lines of one part of a report, none if it is empty."""
    if not entries:
        return []
    return [f"  {title}: {len(entries)}"] + [f"    {e}" for e in entries]
