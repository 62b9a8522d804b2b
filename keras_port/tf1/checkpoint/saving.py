"""A Keras model written as a TensorFlow 1 checkpoint."""

import os
import pathlib

import keras
import numpy as np

from keras_port.tf1.checkpoint.export import ExportReport
from keras_port.tf1.checkpoint.export_graph import write_graph
from keras_port.tf1.checkpoint.forward import ModelState
from keras_port.tf1.checkpoint.map import Names
from keras_port.tf1.checkpoint.model_weights import model_weights
from keras_port.tf1.checkpoint.names import Scheme
from keras_port.tf1.checkpoint.names import tf1_names
from keras_port.tf1.checkpoint.paths import PART
from keras_port.tf1.checkpoint.replacing import replaced_files
from keras_port.tf1.checkpoint.slots import build_optimizer
from keras_port.tf1.checkpoint.slots import has_optimizer
from keras_port.tf1.checkpoint.slots import keras_slots
from keras_port.tf1.checkpoint.slots import slot_layout
from keras_port.tf1.checkpoint.slots import to_tf1
from keras_port.tf1.checkpoint.step import power_at

GLOBAL_STEP = "global_step"


def save_checkpoint(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    names: Names | Scheme | None = None,
    optimizer: bool = True,
    forward: bool = True,
) -> ExportReport:
    """Writes a Keras model as TensorFlow 1 files that need no Keras.

    Four files: `<path>.index` and `<path>.data-00000-of-00001` with the
    values, `<path>.meta` with the graph, and `checkpoint`, by which
    `tf.train.latest_checkpoint` finds them. A TensorFlow 1 program that builds
    its own graph restores the values by its `Saver`; one that has no code for
    the model imports the `.meta` and predicts.

    The slots of Adam, momentum or RMSProp and the step count are written if
    the model is compiled: `W/Adam`, `W/Adam_1`, `beta1_power`, `beta2_power`,
    and `global_step` in any case.

    Args:
        model: A built `keras.Model`, any.
        path: Prefix of the files, such as `"folder/model.ckpt"`. The folder
            is made if needed.
        names: `"letters"` for `W` and `b`, `"numbered"` for `Variable`,
            `Variable_1` and so on, `"scoped"` for `conv1/weight` and
            `conv1/bias`, `"keras"` for `conv1/kernel`; or the name for each
            path in the model, a dictionary or a function of the path.
            Defaults to `None`: `"letters"` for a single dense layer,
            `"numbered"` for the course's CNN, and `"keras"` for the others.
        optimizer: Whether slots and step count are written, if the model is
            compiled. Defaults to `True`.
        forward: Whether the `.meta` holds the computation, or the variables
            alone. Defaults to `True`.

    Returns:
        A `ExportReport` with all names.

    Raises:
        OSError: If the files cannot be written; those before are as they were.
        ValueError: For names that do not fit, for a model that cannot be
            computed in a graph, and for an optimizer whose state TensorFlow 1
            keeps differently. Nothing is written then.

    Example:

    >>> export = save_checkpoint(model, "export/model.ckpt")
    >>> print(export)
    export/model.ckpt: step count 0
      fc/kernel -> W
      fc/bias -> b
      sgd/iteration -> global_step
      feed images:0
      fetch output:0
    """
    prefix = checked_prefix(pathlib.Path(path))
    weights = model_weights(model)
    found = tf1_names(weights, names)
    variables = [(weight.path, found[weight.path]) for weight in weights]
    extra: dict[str, np.ndarray] = {}
    step = None
    if optimizer and has_optimizer(model):
        step = int(model.optimizer.iterations.numpy())
        state = optimizer_state(model, found)
        extra = {name: value for name, (_, value) in state.items()}
        variables += [(source, name) for name, (source, _) in state.items()]
        if double := sorted(set(extra) & set(found.values())):
            raise ValueError(
                f"`names` calls a weight {double[0]!r}, which is a name of the "
                "optimizer's state. Choose another, or `optimizer=False`."
            )
    values = {id(v): np.asarray(v) for v in model.variables}
    with replaced_files(prefix) as partial:
        inputs, outputs = write_graph(
            ModelState(model, found, values, extra), partial, forward=forward
        )
    return ExportReport(
        os.fspath(prefix), tuple(variables), inputs, outputs, step
    )


def optimizer_state(
    model: keras.Model, names: dict[str, str]
) -> dict[str, tuple[str, np.ndarray]]:
    """Returns source and value of each TensorFlow 1 variable of the state."""
    layout = slot_layout(model.optimizer)
    optimizer = build_optimizer(model)
    trainable = model.trainable_variables
    state = {}
    for index, slot in enumerate(layout.slots):
        slots = keras_slots(optimizer, trainable, slot) if slot else {}
        for variable in trainable:
            name = layout.slot_name(names[variable.path], index)
            if variable.path in slots:
                found = slots[variable.path]
                state[name] = found.path, to_tf1(np.asarray(found), layout)
            else:
                # TensorFlow 1 keeps a slot that this optimizer does without.
                zeros = np.zeros(tuple(variable.shape), variable.dtype)
                state[name] = "zeros", zeros
    step = int(optimizer.iterations.numpy())
    counter = optimizer.iterations.path
    for beta, key in zip(
        layout.betas or (), ("beta1_power", "beta2_power"), strict=False
    ):
        state[key] = counter, np.asarray(power_at(beta, step))
    state[GLOBAL_STEP] = counter, np.asarray(step, "int64")
    return state


def checked_prefix(prefix: pathlib.Path) -> pathlib.Path:
    """Returns the prefix, or raises if it is the name of something else."""
    if prefix.is_dir() or not prefix.name or prefix.name == "checkpoint":
        raise ValueError(
            "`path` must be a prefix such as `folder/model.ckpt`, to which "
            f"TensorFlow 1 adds its suffixes. Received: path={str(prefix)!r}"
        )
    if PART.search(prefix.name):
        raise ValueError(
            "`path` must be a prefix, without `.index`, `.meta` or `.data`. "
            f"Received: path={str(prefix)!r}"
        )
    return prefix
