"""What loading a checkpoint will assign, complete before it begins."""

from typing import Any

import keras

from keras_port.tf1.checkpoint.files import CheckpointFile
from keras_port.tf1.checkpoint.model_weights import ModelWeight
from keras_port.tf1.checkpoint.optimizer_state import OptimizerState
from keras_port.tf1.checkpoint.optimizer_state import find_state
from keras_port.tf1.checkpoint.optimizer_state import slot_paths
from keras_port.tf1.checkpoint.slots import SlotLayout
from keras_port.tf1.checkpoint.slots import build_optimizer
from keras_port.tf1.checkpoint.slots import keras_slots
from keras_port.tf1.checkpoint.slots import slot_layout
from keras_port.tf1.checkpoint.slots import to_keras
from keras_port.tf1.checkpoint.variables import CheckpointVariable


class LoadingPlan:
    """What will be assigned, complete before the first assignment.

    Args:
        model: The model.
        file: The opened checkpoint.
        weights: The model's weights.
        pairs: Name in the file for the path of each weight that fits.
    """

    def __init__(
        self,
        model: keras.Model,
        file: CheckpointFile,
        weights: list[ModelWeight],
        pairs: dict[str, str],
    ) -> None:
        self.model = model
        self.file = file
        self.weights = weights
        self.pairs = pairs
        self.used = [
            (w.path, pairs[w.path]) for w in weights if w.path in pairs
        ]
        self.missing: list[str] = []
        self.layout: SlotLayout | None = None
        self.state: OptimizerState | None = None

    def add_optimizer(
        self, variables: list[CheckpointVariable], step: int | None
    ) -> None:
        """Adds the slots and the step count."""
        own = self.model.optimizer
        trainable = {id(v) for v in self.model.trainable_variables}
        self.layout = slot_layout(own)
        self.state = find_state(
            self.layout,
            [w for w in self.weights if id(w.variable) in trainable],
            self.pairs,
            variables,
            self.file,
            step,
        )
        for path, names in self.state.slots.items():
            titles = slot_paths(own, path, self.layout)
            self.used += [
                (title, name)
                for title, name in zip(titles, names, strict=True)
                if title
            ]
        self.used += [
            (own.iterations.path, name) for name in self.state.step_names
        ]
        for path in self.state.missing:
            self.missing += filter(None, slot_paths(own, path, self.layout))
        if self.layout.betas and self.state.step is None:
            self.missing.append(f"{own.iterations.path} (give `step=`)")

    def carry_out(self) -> None:
        """Reads every value, then assigns them."""
        values = {name: self.file.read(name) for _, name in self.used}
        assignments: list[tuple[keras.Variable, Any]] = [
            (weight.variable, values[self.pairs[weight.path]])
            for weight in self.weights
            if weight.path in self.pairs
        ]
        if self.layout is not None and self.state is not None:
            own = build_optimizer(self.model)
            for index, slot in enumerate(self.layout.slots):
                if slot is None:
                    continue
                slots = keras_slots(own, self.model.trainable_variables, slot)
                assignments += [
                    (slots[path], to_keras(values[names[index]], self.layout))
                    for path, names in self.state.slots.items()
                    if path in slots
                ]
            if self.state.step is not None:
                assignments.append((own.iterations, self.state.step))
        for variable, value in assignments:
            variable.assign(value)
