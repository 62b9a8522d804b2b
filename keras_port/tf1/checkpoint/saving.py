"""Saves a Keras model as a TensorFlow 1 checkpoint."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from keras_port._support import local_path
from keras_port._support import show_name
from keras_port.tf1._files import FILE_SUFFIX
from keras_port.tf1._files import open_checkpoint
from keras_port.tf1._files import show_path
from keras_port.tf1.checkpoint._export_graph import ModelState
from keras_port.tf1.checkpoint._export_graph import write_graph
from keras_port.tf1.checkpoint._export_names import Scheme
from keras_port.tf1.checkpoint._export_names import choose_names
from keras_port.tf1.checkpoint._matching import Names
from keras_port.tf1.checkpoint._model_weights import list_weights
from keras_port.tf1.checkpoint._optimizer_state import export_state
from keras_port.tf1.checkpoint._pairing import Pairing
from keras_port.tf1.checkpoint._pairing import pair_checkpoint
from keras_port.tf1.checkpoint._replace_files import replace_files
from keras_port.tf1.checkpoint._slots import has_optimizer
from keras_port.tf1.checkpoint._write_back import copy_graph
from keras_port.tf1.checkpoint._write_back import update_values
from keras_port.tf1.checkpoint._write_back import write_values
from keras_port.tf1.checkpoint.variables import natural_key


def save_checkpoint(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    names: Names | Scheme | None = None,
    like: str | os.PathLike[str] | None = None,
    scope: str | None = None,
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

    For a program that wrote a checkpoint itself, give that as `like`. The new
    checkpoint then has all its variables, under their names and in their shapes
    and types, so that the program's own `Saver` restores it: the weights, slots
    and step counts of the model, and the old values of all others.

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
            their names in the graph. With `like`, it is `names` of
            `load_checkpoint`.
        like: An old checkpoint: its prefix, one of its files or its folder.
            Its variables are matched to the weights as `load_checkpoint`
            matches them, so a checkpoint that is loaded and saved again is the
            same to the last bit. Defaults to `None`.
        scope: The scope in the old checkpoint, as in `load_checkpoint`.
            Defaults to `None`: all variables.
        include_optimizer: Whether to save the slots and the step count, if
            the model is compiled. With `like`, the old ones are kept if not.
            Defaults to `True`.
        include_graph: Whether the `.meta` holds the model's computation, or
            only its variables. With `like`, whether to copy the old `.meta`, if
            there is one. Defaults to `True`.

    Returns:
        An `ExportReport` with all names.

    Raises:
        FileNotFoundError: If there is no checkpoint at `like`.
        OSError: If the files cannot be written. Existing files are unchanged.
        ValueError: If the names do not fit, the model cannot be computed in a
            graph, the optimizer keeps state that TensorFlow 1 does not, or
            the model does not fit `like`.
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
    if like is not None:
        if isinstance(names, str):
            raise ValueError(
                "With `like`, the names are those of the old checkpoint, and "
                "`names` must be a dictionary or a function, or left out. "
                f"Received: names={names!r}"
            )
        pairing = pair_checkpoint(
            model,
            open_checkpoint(like, "like"),
            names=names,
            match="auto",
            scope=scope,
            include_optimizer=include_optimizer,
            step=None,
        )
        return _save_like(model, prefix, pairing, include_graph=include_graph)
    if scope is not None:
        raise ValueError(
            "`scope` is a scope in the checkpoint that `like` names. Received: "
            f"scope={scope!r} without `like`. To save under a scope, use "
            "`names=lambda path: f'scope/{path}'`."
        )
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


def _save_like(
    model: keras.Model,
    prefix: pathlib.Path,
    pairing: Pairing,
    *,
    include_graph: bool,
) -> "ExportReport":
    """Saves the model's values and the others of an old checkpoint."""
    file = pairing.file
    if misfit := pairing.describe_misfit():
        raise ValueError(
            f"`like` must be a checkpoint of the model {model.name!r}. "
            f"Received: {show_path(file.prefix)}; {misfit}. Map the variables "
            "with `names={path: name}`, or keep the old slots and step count "
            "with `include_optimizer=False`. Nothing was saved."
        )
    updated = update_values(model, pairing)
    values = {
        name: updated[name].value if name in updated else file.read(name)
        for name in sorted(file.shapes, key=natural_key)
    }
    with replace_files(prefix) as partial:
        write_values(partial, values)
        if include_graph:
            copy_graph(file.prefix, partial)
    step = None
    if pairing.state is not None:
        step = int(model.optimizer.iterations.numpy())
    return ExportReport(
        prefix=os.fspath(prefix),
        variables=tuple((one.path, name) for name, one in updated.items()),
        inputs=(),
        outputs=(),
        step=step,
        kept=tuple(name for name in values if name not in updated),
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
        kept: With `like`, the names of the other variables, whose values are
            those of the old checkpoint.

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
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        step = "none" if self.step is None else f"{self.step:,}"
        lines = [f"{self.prefix}: step count {step}"]
        lines += [
            f"  {path} -> {show_name(name)}" for path, name in self.variables
        ]
        if self.kept:
            lines.append(f"  kept from the old checkpoint: {len(self.kept)}")
            lines += [f"    {show_name(name)}" for name in self.kept]
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
