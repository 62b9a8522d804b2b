"""Pairs the variables of a checkpoint with a model and its optimizer.

What is loaded and what is saved back goes by the same pairs.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import keras

from keras_port._support import show_name
from keras_port.tf1._files import CheckpointFile
from keras_port.tf1._files import read_creation_order
from keras_port.tf1._files import show_path
from keras_port.tf1.checkpoint._matching import Match
from keras_port.tf1.checkpoint._matching import Matcher
from keras_port.tf1.checkpoint._matching import Matching
from keras_port.tf1.checkpoint._matching import Names
from keras_port.tf1.checkpoint._matching import fits
from keras_port.tf1.checkpoint._matching import match_by_map
from keras_port.tf1.checkpoint._model_weights import ModelWeight
from keras_port.tf1.checkpoint._model_weights import find_graph_names
from keras_port.tf1.checkpoint._model_weights import list_weights
from keras_port.tf1.checkpoint._optimizer_state import OptimizerState
from keras_port.tf1.checkpoint._optimizer_state import find_state
from keras_port.tf1.checkpoint._slots import SlotLayout
from keras_port.tf1.checkpoint._slots import get_slot_layout
from keras_port.tf1.checkpoint._slots import has_optimizer
from keras_port.tf1.checkpoint.variables import CheckpointVariable
from keras_port.tf1.checkpoint.variables import describe_variables


class ShapeDifference(NamedTuple):
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


@dataclasses.dataclass
class Pairing:
    """Says which variable of a checkpoint is which weight or slot.

    Args:
        file: The checkpoint.
        variables: Its variables, those in the scope if there is one.
        weights: The model's weights.
        matching: How the weights were matched.
        pairs: Name in the file for the path of every weight that fits.
        misshaped: Pairs whose shapes do not fit.
        reshaped: Pairs whose shapes differ in axes of length 1.
        incomplete: Pairs that fit, in layers that do not.
        used: Pairs of a path in the model or its optimizer, and a name.
        missing: Paths that have no variable in the file.
        layout: Layout of the optimizer's slots, or `None` without them.
        state: Where the optimizer's state is, or `None` without one.
    """

    file: CheckpointFile
    variables: list[CheckpointVariable]
    weights: list[ModelWeight]
    matching: Matching
    pairs: dict[str, str]
    misshaped: tuple[ShapeDifference, ...]
    reshaped: tuple[ShapeDifference, ...]
    incomplete: tuple[tuple[str, str], ...]
    used: list[tuple[str, str]]
    missing: list[str]
    layout: SlotLayout | None = None
    state: OptimizerState | None = None

    def list_unused(
        self,
    ) -> tuple[list[CheckpointVariable], list[CheckpointVariable]]:
        """Returns the variables without a pair: the others, and the slots."""
        taken = {name for _, name in [*self.used, *self.incomplete]}
        taken |= {mismatch.name for mismatch in self.misshaped}
        unused = [v for v in self.variables if v.name not in taken]
        return (
            [variable for variable in unused if variable.kind != "slot"],
            [variable for variable in unused if variable.kind == "slot"],
        )

    def describe_misfit(self) -> str:
        """Returns in one line what does not fit, or an empty string."""
        parts = []
        if self.misshaped:
            listed = ", ".join(map(str, self.misshaped))
            parts.append(f"shapes differ: {listed}")
        if self.missing:
            paths = {weight.path for weight in self.weights}
            weights = [path for path in self.missing if path in paths]
            others = [path for path in self.missing if path not in paths]
            shown = weights + others[:1]
            if len(others) > 1:
                shown.append(f"{len(others) - 1} more of the optimizer")
            parts.append(f"missing in the file: {', '.join(shown)}")
        if parts:
            unused, slots = self.list_unused()
            # Of hundreds of names, the weights are what is looked for.
            unused.sort(key=lambda variable: variable.kind != "weight")
            shown = [f"{show_name(v.name)} {v.shape}" for v in unused]
            if slots:
                shown.append(f"{len(slots)} slots")
            parts.append(f"unused in the file: {', '.join(shown) or 'nothing'}")
        return "; ".join(parts)


def pair_checkpoint(
    model: keras.Model,
    file: CheckpointFile,
    *,
    names: Names | None,
    match: Match,
    scope: str | None,
    include_optimizer: bool,
    step: int | None,
) -> Pairing:
    """Returns which variable is which. The arguments are `load_checkpoint`'s.

    Raises:
        ValueError: If nothing is in the scope, names are wrong or could be
            meant for several weights, or the optimizer's state belongs to
            another optimizer.
    """
    weights = list_weights(model)
    start = f"{scope.strip('/')}/" if scope else ""
    everything = describe_variables(file)
    variables = _select_scope(everything, start, file)
    graph_names = find_graph_names(model)
    if names is not None:
        matching = match_by_map(names, weights, variables, start)
    elif match == "auto" and _has_all(file, weights, graph_names):
        matching = Matching("name", graph_names)
    else:
        order = read_creation_order(file.prefix)
        matching = Matcher(weights, variables, order, start).match(match)
    pairs = matching.pairs
    different = [
        ShapeDifference(w.path, w.shape, pairs[w.path], shape)
        for w in weights
        if w.path in pairs and (shape := file.shapes[pairs[w.path]]) != w.shape
    ]
    misshaped = [
        one for one in different if not fits(one.shape, one.file_shape)
    ]
    wrong = {difference.path for difference in misshaped}
    fitting = {p: n for p, n in pairs.items() if p not in wrong}
    incomplete: list[tuple[str, str]] = []
    if names is None:
        incomplete = _find_incomplete(weights, fitting)
        fitting = {p: n for p, n in fitting.items() if (p, n) not in incomplete}
    pairing = Pairing(
        file=file,
        variables=variables,
        weights=weights,
        matching=matching,
        pairs=fitting,
        misshaped=tuple(misshaped),
        reshaped=tuple(one for one in different if one.path in fitting),
        incomplete=tuple(incomplete),
        used=[(w.path, fitting[w.path]) for w in weights if w.path in fitting],
        missing=[w.path for w in weights if w.path not in pairs],
    )
    if include_optimizer and has_optimizer(model):
        _add_optimizer(pairing, model, everything, start, step)
    return pairing


def _add_optimizer(
    pairing: Pairing,
    model: keras.Model,
    variables: Sequence[CheckpointVariable],
    scope: str,
    step: int | None,
) -> None:
    """Adds the slots and the step count, which may be outside of the scope."""
    optimizer = model.optimizer
    layout = get_slot_layout(optimizer)
    trainable = {id(v) for v in model.trainable_variables}
    state = find_state(
        layout,
        [w for w in pairing.weights if id(w.variable) in trainable],
        pairing.pairs,
        variables,
        pairing.file,
        step,
        scope,
    )
    for path, names in state.slots.items():
        slot_paths = layout.slot_paths(optimizer, path)
        pairing.used += [
            (slot_path, name)
            for slot_path, name in zip(slot_paths, names, strict=True)
            if slot_path
        ]
    counter = optimizer.iterations.path
    pairing.used += [(counter, name) for name in state.step_names]
    for path in state.missing:
        pairing.missing += filter(None, layout.slot_paths(optimizer, path))
    if layout.betas and state.step is None:
        pairing.missing.append(counter)
    pairing.layout, pairing.state = layout, state


def _select_scope(
    variables: list[CheckpointVariable], start: str, file: CheckpointFile
) -> list[CheckpointVariable]:
    """Returns the variables in a scope, all of them for `""`.

    Raises:
        ValueError: If there are none.
    """
    found = [v for v in variables if v.name.startswith(start)]
    if not found and variables:
        weights = [v.name for v in variables if v.kind == "weight"]
        scopes = dict.fromkeys(n.rpartition("/")[0] for n in weights)
        shown = ", ".join(show_name(scope) for scope in scopes if scope)
        raise ValueError(
            f"`scope` must be a scope of {show_path(file.prefix)} that has "
            f"variables. Received: scope={start[:-1]!r}. Its scopes: "
            f"{shown or 'none'}."
        )
    return found


def _has_all(
    file: CheckpointFile,
    weights: Sequence[ModelWeight],
    graph_names: Mapping[str, str],
) -> bool:
    """Returns whether a file has all weights, by their names in a graph.

    Those of a `GraphLayer` may be counters or flags, which no other way of
    matching takes for weights.
    """
    return all(graph_names.get(one.path) in file.shapes for one in weights)


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
