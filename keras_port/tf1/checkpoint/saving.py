"""Saves a Keras model as a TensorFlow 1 checkpoint."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from keras_port._support import local_path
from keras_port.tf1._files import FILE_SUFFIX
from keras_port.tf1.checkpoint._export_graph import ModelState
from keras_port.tf1.checkpoint._export_graph import write_graph
from keras_port.tf1.checkpoint._export_names import Scheme
from keras_port.tf1.checkpoint._export_names import choose_names
from keras_port.tf1.checkpoint._matching import Names
from keras_port.tf1.checkpoint._model_weights import list_weights
from keras_port.tf1.checkpoint._optimizer_state import export_state
from keras_port.tf1.checkpoint._replace_files import replace_files
from keras_port.tf1.checkpoint._slots import has_optimizer


def save_checkpoint(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    names: Names | Scheme | None = None,
    include_optimizer: bool = True,
    include_graph: bool = True,
) -> "ExportReport":
    """Saves a Keras model as TensorFlow 1 files that do not need Keras.

    Writes four files: `<path>.index` and `<path>.data-00000-of-00001` with the
    values, `<path>.meta` with the graph, and `checkpoint`, by which
    `tf.train.latest_checkpoint` finds them. A TensorFlow 1 program that builds
    its own graph restores the values with its `Saver`. A program without code
    for the model imports the `.meta` and predicts.

    If the model is compiled, the slots of Adam, momentum or RMSProp and the
    step count are saved: `W/Adam`, `W/Adam_1`, `beta1_power`, `beta2_power`,
    and always `global_step`.

    Args:
        model: Any built `keras.Model`.
        path: Prefix of the files, such as `"folder/model.ckpt"`. The folder
            is created if needed.
        names: `"letters"` for `W` and `b`, `"numbered"` for `Variable`,
            `Variable_1` and so on, `"scoped"` for `conv1/weight` and
            `conv1/bias`, `"keras"` for `conv1/kernel`; or the name for every
            path in the model, as a dictionary or as a function of the path.
            Defaults to `None`: `"letters"` for a single dense layer,
            `"numbered"` for the course's CNN, and `"keras"` for the others.
            The weights of a `GraphLayer`, if the model has one, then have
            their names in the graph.
        include_optimizer: Whether to save the slots and the step count, if
            the model is compiled. Defaults to `True`.
        include_graph: Whether the `.meta` holds the model's computation, or
            only its variables. Defaults to `True`.

    Returns:
        An `ExportReport` with all names.

    Raises:
        OSError: If the files cannot be written. Existing files are unchanged.
        ValueError: If the names do not fit, the model cannot be computed in a
            graph, or the optimizer keeps state that TensorFlow 1 does not.
            Nothing is written in these cases.

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
    prefix = _check_prefix(local_path("path", path))
    weights = list_weights(model)
    chosen = choose_names(model, weights, names)
    variables = [(weight.path, chosen[weight.path]) for weight in weights]
    extra: dict[str, np.ndarray] = {}
    step = None
    if include_optimizer and has_optimizer(model):
        step = int(model.optimizer.iterations.numpy())
        state = export_state(model, chosen)
        extra = {name: exported.value for name, exported in state.items()}
        variables += [(exported.path, name) for name, exported in state.items()]
        if double := sorted(set(extra) & set(chosen.values())):
            raise ValueError(
                f"`names` calls a weight {double[0]!r}, which is a name of the "
                "optimizer's state. Choose another name, or use "
                "`include_optimizer=False`."
            )
    values = {id(v): np.asarray(v) for v in model.variables}
    with replace_files(prefix) as partial:
        inputs, outputs = write_graph(
            ModelState(model, chosen, values, extra),
            partial,
            include_graph=include_graph,
        )
    return ExportReport(
        os.fspath(prefix), tuple(variables), inputs, outputs, step
    )


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """Lists what was saved and how a TensorFlow 1 session uses it.

    Args:
        prefix: Prefix of the files, for `Saver.restore`. The graph is in
            `<prefix>.meta`.
        variables: Pairs of a path in the model or its optimizer, and the
            TensorFlow 1 name. The path is `"zeros"` for a slot that only
            TensorFlow 1 has.
        inputs: Names of the placeholders, such as `"images:0"`; empty without
            the computation.
        outputs: Names of the predictions, such as `"output:0"`; empty without
            the computation.
        step: Number of updates of the optimizer, or `None` without one.

    Example:

    >>> export = save_checkpoint(model, "export/model.ckpt")
    >>> export.inputs, export.outputs
    (('images:0',), ('output:0',))
    """

    prefix: str
    variables: tuple[tuple[str, str], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    step: int | None

    def __str__(self) -> str:
        step = "none" if self.step is None else f"{self.step:,}"
        lines = [f"{self.prefix}: step count {step}"]
        lines += [f"  {path} -> {name}" for path, name in self.variables]
        if self.inputs:
            lines.append(f"  feed {', '.join(self.inputs)}")
            lines.append(f"  fetch {', '.join(self.outputs)}")
        return "\n".join(lines)


def _check_prefix(prefix: pathlib.Path) -> pathlib.Path:
    """Returns the prefix, or raises if it is something else."""
    if prefix.is_dir() or not prefix.name or prefix.name == "checkpoint":
        raise ValueError(
            "`path` must be a prefix such as `folder/model.ckpt`, to which "
            f"TensorFlow 1 adds its suffixes. Received: path={str(prefix)!r}"
        )
    if FILE_SUFFIX.search(prefix.name):
        raise ValueError(
            "`path` must be a prefix, without `.index`, `.meta` or `.data`. "
            f"Received: path={str(prefix)!r}"
        )
    return prefix
