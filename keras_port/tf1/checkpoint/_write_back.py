"""Writes a model's values into a copy of an old checkpoint."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import read_file
from keras_port.tf1._files import MAX_META_BYTES
from keras_port.tf1._files import get_meta_path
from keras_port.tf1._files import show_path
from keras_port.tf1.checkpoint._optimizer_state import POWERS
from keras_port.tf1.checkpoint._optimizer_state import ExportedVariable
from keras_port.tf1.checkpoint._optimizer_state import pair_slots
from keras_port.tf1.checkpoint._pairing import Pairing
from keras_port.tf1.checkpoint._step_count import compute_power

_Convert = Callable[[np.ndarray], np.ndarray]


def update_values(
    model: keras.Model, pairing: Pairing
) -> dict[str, ExportedVariable]:
    """Returns the variables of the checkpoint that the model has, by name.

    Raises:
        ValueError: If the file has several step counts, and nothing says which
            one belongs to the model's optimizer.
    """
    file = pairing.file
    updated = {}
    for weight in pairing.weights:
        if name := pairing.pairs.get(weight.path):
            current = np.asarray(weight.variable)
            value = _update(file.read(name), current, np.asarray, np.asarray)
            updated[name] = ExportedVariable(weight.path, value)
    if pairing.layout is not None and pairing.state is not None:
        layout = pairing.layout
        for slot, name in pair_slots(model, layout, pairing.state):
            value = _update(
                file.read(name),
                np.asarray(slot),
                layout.to_keras,
                layout.to_tf1,
            )
            updated[name] = ExportedVariable(slot.path, value)
        counter = model.optimizer.iterations
        for name, value in _update_step(pairing, int(counter.numpy())).items():
            updated[name] = ExportedVariable(counter.path, value)
    return updated


def _update(
    old: np.ndarray, current: np.ndarray, to_keras: _Convert, to_tf1: _Convert
) -> np.ndarray:
    """Returns a value as the file holds it.

    An element that has not changed since it was loaded stays as it is to the
    last bit, also where another type or a momentum is rounded on the way.
    """
    current = np.reshape(current, old.shape)
    is_same = to_keras(old).astype(current.dtype) == current
    return np.where(is_same, old, to_tf1(current).astype(old.dtype))


def _update_step(pairing: Pairing, step: int) -> dict[str, np.ndarray]:
    """Returns the step counts and Adam's powers after `step` updates."""
    layout, state, file = pairing.layout, pairing.state, pairing.file
    if layout is None or state is None or state.step in (None, step):
        return {}
    updated = {}
    for beta, key in zip(layout.betas or (), POWERS, strict=False):
        names = [name for name in state.powers if key in name]
        for name in _require_one(pairing, names, key):
            updated[name] = np.asarray(
                compute_power(beta, step, file.dtypes[name])
            )
    counters = list(state.counters)
    if len(counters) > 1:
        counters = [n for n in counters if int(file.read(n)) == state.step]
        counters = counters or list(state.counters)
    for name in _require_one(pairing, counters, "global_step"):
        # A program may count other updates as well.
        old = file.read(name)
        updated[name] = np.asarray(old + (step - state.step), old.dtype)
    return updated


def _require_one(pairing: Pairing, names: list[str], kind: str) -> list[str]:
    """Returns the names, or raises if there are several."""
    if len(names) > 1:
        raise ValueError(
            f"{show_path(pairing.file.prefix)} holds several {kind}, "
            f"{', '.join(names)}, and nothing says which one belongs to the "
            "model's optimizer. Copy the old `.meta` file next to it, which "
            "says so, or give the `scope` that has only one. With "
            "`include_optimizer=False` slots and step counts stay as they are."
        )
    return names


def write_values(
    prefix: pathlib.Path, values: Mapping[str, np.ndarray]
) -> None:
    """Writes `.index`, `.data` and `checkpoint`, with any names and types."""
    # Not in a graph of the caller, and not by way of a device.
    with tf.init_scope(), tf.device("CPU"):
        tf.raw_ops.SaveV2(
            prefix=os.fspath(prefix),
            tensor_names=list(values),
            shape_and_slices=[""] * len(values),
            tensors=list(values.values()),
        )
    # With a relative folder, the name would be made relative to it.
    state = tf.compat.v1.train.generate_checkpoint_state_proto(
        os.fspath(prefix.parent.absolute()), prefix.name
    )
    prefix.with_name("checkpoint").write_text(str(state))


def copy_graph(old: pathlib.Path, prefix: pathlib.Path) -> None:
    """Copies the `.meta` file of a checkpoint, if there is one."""
    meta = get_meta_path(old)
    if meta.is_file():
        content = read_file(meta, max_bytes=MAX_META_BYTES)
        prefix.with_name(f"{prefix.name}.meta").write_bytes(content)
