"""Loads a TensorFlow 1 checkpoint into a Keras model."""

from collections.abc import Sequence
import dataclasses
import os
import re
from typing import NamedTuple
from typing import get_args

import keras
import numpy as np

from keras_port._support import check_integer
from keras_port._support import show_name
from keras_port.tf1._files import CheckpointFile
from keras_port.tf1._files import open_checkpoint
from keras_port.tf1._files import read_creation_order
from keras_port.tf1._files import show_path
from keras_port.tf1.checkpoint._matching import Match
from keras_port.tf1.checkpoint._matching import Matcher
from keras_port.tf1.checkpoint._matching import Names
from keras_port.tf1.checkpoint._matching import match_by_map
from keras_port.tf1.checkpoint._model_weights import ModelWeight
from keras_port.tf1.checkpoint._model_weights import list_weights
from keras_port.tf1.checkpoint._optimizer_state import OptimizerState
from keras_port.tf1.checkpoint._optimizer_state import find_state
from keras_port.tf1.checkpoint._slots import SlotLayout
from keras_port.tf1.checkpoint._slots import build_optimizer
from keras_port.tf1.checkpoint._slots import find_slots
from keras_port.tf1.checkpoint._slots import get_slot_layout
from keras_port.tf1.checkpoint._slots import has_optimizer
from keras_port.tf1.checkpoint.variables import CheckpointVariable
from keras_port.tf1.checkpoint.variables import describe_variables

# Cells that keep the weights of inputs and state in one kernel.
_CELL = re.compile(r"(?:basic_)?(?:lstm|gru)_cell(?:_\d+)?(?=/|$)")


def load_checkpoint(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    names: Names | None = None,
    match: Match = "auto",
    include_optimizer: bool = True,
    step: int | None = None,
    strict: bool = True,
) -> "LoadReport":
    """Loads weights, optimizer slots and step count of a TensorFlow 1 file.

    Without `names`, variables are matched to weights by name (`conv1/weight`
    is the kernel of the layer `conv1`, `W` the only kernel), or else by the
    order in which they were created (`Variable`, `Variable_1`, ..., or the
    order in the `.meta` file), or else by shapes that occur once. The first way
    that gives every weight a variable of its shape is used. Automatic names of
    Keras, such as `dense_1`, are numbered from the model's first layer.

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
            names are found as `match` says.
        match: `"name"`, `"order"` or `"shape"` to match in this way only, or
            `"auto"`. Defaults to `"auto"`.
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
            checkpoint; if it does not fit and `strict` is `True`; or if the
            optimizer keeps state that TensorFlow 1 does not.

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
    weights = list_weights(model)
    file = open_checkpoint(path)
    variables = describe_variables(file)
    if names is None:
        order = read_creation_order(file.prefix)
        matching = Matcher(weights, variables, order).match(match)
    else:
        matching = match_by_map(names, weights, variables)
    misshaped = _compare_shapes(weights, matching.pairs, file)
    wrong = {mismatch.path for mismatch in misshaped}
    fitting = {p: n for p, n in matching.pairs.items() if p not in wrong}
    incomplete: list[tuple[str, str]] = []
    if names is None:
        incomplete = _find_incomplete(weights, fitting)
        fitting = {p: n for p, n in fitting.items() if (p, n) not in incomplete}
    plan = _LoadingPlan(model, file, weights, fitting)
    if include_optimizer and has_optimizer(model):
        plan.add_optimizer(variables, step)
    taken = {name for _, name in [*plan.used, *incomplete]}
    taken |= {mismatch.name for mismatch in misshaped}
    report = LoadReport(
        prefix=os.fspath(file.prefix),
        matched_by=matching.matched_by,
        used=tuple(plan.used),
        unused=tuple(v.name for v in variables if v.name not in taken),
        missing=tuple(
            [w.path for w in weights if w.path not in matching.pairs]
            + plan.missing
        ),
        misshaped=misshaped,
        incomplete=tuple(incomplete),
        step=plan.state.step if plan.state else None,
    )
    if strict and (problems := report.problems()):
        raise ValueError(
            f"{show_path(file.prefix)} does not fit the model {model.name!r}, "
            "which is "
            f"unchanged: {problems}. {_advise(variables)}"
        )
    plan.execute()
    return report


class ShapeMismatch(NamedTuple):
    """A weight and its variable, whose shapes differ."""

    path: str
    shape: tuple[int, ...]
    name: str
    file_shape: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.path} {self.shape} in the model, {show_name(self.name)} "
            f"{self.file_shape} in the file"
        )


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Lists the variables of a checkpoint that were loaded or left out.

    Args:
        prefix: Prefix of the checkpoint's files.
        matched_by: How variables were matched to weights: `"name"`,
            `"order"`, `"shape"` or `"map"`.
        used: Pairs of a path in the model or its optimizer, and the name in
            the file.
        unused: Names in the file that were not used.
        missing: Paths in the model or its optimizer that have no variable in
            the file.
        misshaped: Records of a `path` and `shape` in the model, and a `name`
            and `file_shape` in the file, where the two shapes differ.
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
    missing: tuple[str, ...]
    misshaped: tuple[ShapeMismatch, ...]
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
            ("unused in the file", list(map(show_name, self.unused))),
            ("missing in the file", self.missing),
            ("different shape", self.misshaped),
            (
                "left out, because the rest of the layer does not fit",
                incomplete,
            ),
        ):
            lines += _format_section(title, entries)
        return "\n".join(lines)

    def problems(self) -> str:
        """Returns in one line what does not fit, or an empty string."""
        parts = []
        if self.misshaped:
            listed = ", ".join(map(str, self.misshaped))
            parts.append(f"shapes differ: {listed}")
        if self.missing:
            listed = ", ".join(self.missing)
            parts.append(f"missing in the file: {listed}")
        if parts:
            unused = ", ".join(map(show_name, self.unused)) or "nothing"
            parts.append(f"unused in the file: {unused}")
        return "; ".join(parts)


class _LoadingPlan:
    """Collects all assignments before the first one is made.

    Args:
        model: The model.
        file: The open checkpoint.
        weights: The model's weights.
        pairs: Name in the file for the path of every weight that fits.
    """

    def __init__(
        self,
        model: keras.Model,
        file: CheckpointFile,
        weights: list[ModelWeight],
        pairs: dict[str, str],
    ) -> None:
        self._model = model
        self._file = file
        self._weights = weights
        self._pairs = pairs
        self._layout: SlotLayout | None = None
        self.used = [
            (w.path, pairs[w.path]) for w in weights if w.path in pairs
        ]
        self.missing: list[str] = []
        self.state: OptimizerState | None = None

    def add_optimizer(
        self, variables: list[CheckpointVariable], step: int | None
    ) -> None:
        """Adds the slots and the step count."""
        optimizer = self._model.optimizer
        layout = get_slot_layout(optimizer)
        trainable = {id(v) for v in self._model.trainable_variables}
        state = find_state(
            layout,
            [w for w in self._weights if id(w.variable) in trainable],
            self._pairs,
            variables,
            self._file,
            step,
        )
        for path, names in state.slots.items():
            slot_paths = layout.slot_paths(optimizer, path)
            self.used += [
                (slot_path, name)
                for slot_path, name in zip(slot_paths, names, strict=True)
                if slot_path
            ]
        counter = optimizer.iterations.path
        self.used += [(counter, name) for name in state.step_names]
        for path in state.missing:
            self.missing += filter(None, layout.slot_paths(optimizer, path))
        if layout.betas and state.step is None:
            self.missing.append(f"{counter} (give `step=`)")
        self._layout, self.state = layout, state

    def execute(self) -> None:
        """Reads all values, then assigns them."""
        values = {name: self._file.read(name) for _, name in self.used}
        assignments: list[tuple[keras.Variable, np.ndarray | int]] = [
            (weight.variable, values[self._pairs[weight.path]])
            for weight in self._weights
            if weight.path in self._pairs
        ]
        if self._layout is not None and self.state is not None:
            optimizer = build_optimizer(self._model)
            trainable = self._model.trainable_variables
            for index, slot in enumerate(self._layout.slots):
                if slot is None:
                    continue
                slots = find_slots(optimizer, trainable, slot)
                assignments += [
                    (slots[path], self._layout.to_keras(values[names[index]]))
                    for path, names in self.state.slots.items()
                    if path in slots
                ]
            if self.state.step is not None:
                assignments.append((optimizer.iterations, self.state.step))
        for variable, value in assignments:
            variable.assign(value)


def _compare_shapes(
    weights: list[ModelWeight], pairs: dict[str, str], file: CheckpointFile
) -> tuple[ShapeMismatch, ...]:
    """Returns the pairs whose two shapes differ."""
    return tuple(
        ShapeMismatch(
            w.path, w.shape, pairs[w.path], file.shapes[pairs[w.path]]
        )
        for w in weights
        if w.path in pairs and file.shapes[pairs[w.path]] != w.shape
    )


def _find_incomplete(
    weights: list[ModelWeight], fitting: dict[str, str]
) -> list[tuple[str, str]]:
    """Returns the pairs that fit in layers of which other weights do not.

    Half of a layer was matched by mistake more often than not. The bias of
    TensorFlow 1's `BasicLSTMCell` has the shape of Keras' own, and its gates
    are in a different order.
    """
    incomplete = {
        _get_layer_path(weight.path)
        for weight in weights
        if weight.path not in fitting
    }
    return [
        (path, name)
        for path, name in fitting.items()
        if _get_layer_path(path) in incomplete
    ]


def _get_layer_path(path: str) -> str:
    """Returns the path of the layer that has this weight."""
    return path.rpartition("/")[0]


def _advise(variables: Sequence[CheckpointVariable]) -> str:
    """Returns what to do if the file does not fit."""
    advice = (
        "Map the variables with `names={path: name}`, load the layers that fit "
        "with `strict=False`, or load only the weights with "
        "`include_optimizer=False`."
    )
    for variable in variables:
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
