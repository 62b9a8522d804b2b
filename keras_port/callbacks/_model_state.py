"""Everything that a training step changes in a model, as plain values."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import get_global_generator_state
from keras_port._support import list_untracked_variables
from keras_port._support import strip_numbers
from keras_port.callbacks._steps import list_optimizers


class ModelState:
    """Gets and sets everything that a training step changes in a model.

    Args:
        model: The model in training.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        # Found once: that takes longer than some steps.
        self._generator = get_global_generator_state(model)
        self._untracked: list[Any] | None = None

    def get_state(
        self, *, ended_epoch: tuple[int, dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Returns the current values of what a step changes, and the history.

        Args:
            ended_epoch: Number and logs of an epoch that has just ended. It is
                then part of the history, and its running metrics are left out.
                Defaults to `None`: in the middle of an epoch.
        """
        model = self._model
        if self._untracked is None:
            # Not earlier: the first step may make some.
            self._untracked = list_untracked_variables(model)
        known = getattr(model, "history", None)
        history: dict[str, list[float]] = {}
        epochs: list[int] = []
        if known is not None:
            history = {name: list(v) for name, v in known.history.items()}
            epochs = list(known.epoch)
        metrics = [record_variable(v) for v in model.metrics_variables]
        if ended_epoch is not None:
            # `History` is the last callback and does the same afterwards, or
            # the program has put one before this.
            epoch, logs = ended_epoch
            if epochs[-1:] != [epoch]:
                epochs.append(epoch)
                for name, value in logs.items():
                    history.setdefault(name, []).append(value)
            metrics = []
        return {
            "build": model.get_build_config(),
            "variables": self._list_records(),
            "metrics": metrics,
            "history": history,
            "epochs": epochs,
        }

    def check_state(self, state: dict[str, Any]) -> None:
        """Raises `ValueError` if the model has other variables.

        Args:
            state: What `get_state` has returned. A model that has no weights
                yet is built for it.
        """
        model = self._model
        if not model.built and state["build"]:
            # Its inputs are not known before the first batch (keras#20712).
            try:
                model.build_from_config(state["build"])
            except Exception as error:  # Of any layer.
                reason = f"the model cannot be built: {error}"
                raise ValueError(reason) from error
        build_optimizers(model, state["variables"])
        check_records(self._list_records(), state["variables"])

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what `get_state` has returned and `check_state` accepts."""
        self.set_variables(state)
        set_metrics(self._model, state["metrics"])
        history = getattr(self._model, "history", None)
        if history is not None:
            history.history.update(state["history"])
            history.epoch[:0] = state["epochs"]

    def set_variables(self, state: dict[str, Any]) -> None:
        """Restores the variables alone."""
        variables = [variable for variable, _ in self.list_variables()]
        for variable, record in zip(variables, state["variables"], strict=True):
            variable.assign(record["value"])

    def list_variables(self) -> list[tuple[Any, int | None]]:
        """Returns all variables that a step changes, except those of metrics.

        These are the weights, the states of random generators, the slots and
        the step of all optimizers, the accumulated gradients of a
        `GradientModel`, and TensorFlow variables in attributes of layers.

        Returns:
            Variables, every one with the number of its optimizer or `None`.

        Raises:
            ValueError: If the model has no weights yet.
        """
        model = self._model
        if not model.built:
            raise ValueError(
                "`TrainingState` needs a model that has its weights. Give the "
                "first layer an `Input`, or call the model once."
            )
        optimizers = list_optimizers(model)
        if len(optimizers) == 1 and not optimizers[0].built:
            optimizers[0].build(model.trainable_variables)
        metrics = {id(v) for v in model.metrics_variables}
        found: dict[int, tuple[Any, int | None]] = {}
        for variable in model.variables:
            found.setdefault(id(variable), (variable, None))
        for number, optimizer in enumerate(optimizers):
            for variable in optimizer.variables:
                found.setdefault(id(variable), (variable, number))
        untracked = self._untracked
        if untracked is None:
            untracked = list_untracked_variables(model)
        others = [
            *getattr(model, "step_variables", []),
            *untracked,
            *self._generator,
        ]
        for variable in others:
            found.setdefault(id(variable), (variable, None))
        return [pair for key, pair in found.items() if key not in metrics]

    def _list_records(self) -> list[dict[str, Any]]:
        """Returns name, value and optimizer of all variables of a step."""
        return [
            {**record_variable(variable, optimizer), "optimizer": optimizer}
            for variable, optimizer in self.list_variables()
        ]


def set_metrics(model: keras.Model, records: list[dict[str, Any]]) -> None:
    """Restores the running metrics that Keras has created by now.

    Args:
        model: The model.
        records: Names and values of their variables.

    Raises:
        ValueError: If a value does not fit its variable.
    """
    # Several may have one path: a metric of two outputs, for example.
    metrics: dict[str, list[Any]] = {}
    for variable in model.metrics_variables:
        metrics.setdefault(variable.path, []).append(variable)
    for record in records:
        path, value = record["path"], record["value"]
        if not metrics.get(path):
            continue
        variable = metrics[path].pop(0)
        shape = tuple(variable.shape)
        if value.shape != shape or value.dtype.kind not in "fiub":
            raise ValueError(
                f"The snapshot has {value.dtype} values of shape {value.shape} "
                f"for the metric variable `{path}`, which has shape {shape}."
            )
        variable.assign(value)


def check_records(
    here: list[dict[str, Any]], there: list[dict[str, Any]]
) -> None:
    """Raises `ValueError` unless names, shapes and types are the saved ones."""
    ours = [(strip_numbers(v["path"]), v["value"].shape) for v in here]
    saved = [(strip_numbers(v["path"]), v["value"].shape) for v in there]
    if ours == saved:
        for one, other in zip(here, there, strict=True):
            if one["value"].dtype != other["value"].dtype:
                raise ValueError(
                    f"`{one['path']}` is {one['value'].dtype} in this model, "
                    f"and {other['value'].dtype} in the snapshot"
                )
        return
    differing = sorted(set(ours) ^ set(saved))
    if not differing:
        raise ValueError("its variables are in another order")
    path, shape = differing[0]
    place = "this model" if (path, shape) in ours else "the snapshot"
    raise ValueError(
        f"{len(differing)} of the variables differ; only {place} has "
        f"`{path}` of shape {shape}, for example"
    )


def build_optimizers(model: keras.Model, saved: list[dict[str, Any]]) -> None:
    """Builds the optimizers that a `train_step` would build in its first step.

    Only the names of the slots say which weights an optimizer updates.

    Args:
        model: A model that has its weights.
        saved: Records of a snapshot.
    """
    optimizers = list_optimizers(model)
    if len(optimizers) == 1:
        return  # It updates all weights.
    weights = {v.path.replace("/", "_"): v for v in model.trainable_variables}
    for number, optimizer in enumerate(optimizers):
        names = [v["path"] for v in saved if v["optimizer"] == number]
        if optimizer.built or len(names) <= len(optimizer.variables):
            continue
        chosen: dict[str, Any] = {}
        for name in names:
            for path, weight in weights.items():
                if name.startswith(f"{path}_"):
                    chosen.setdefault(path, weight)
        optimizer.build(list(chosen.values()))


def record_variable(
    variable: Any, optimizer: int | None = None
) -> dict[str, Any]:
    """Returns the path of a variable and its value, which stays unchanged.

    Args:
        variable: The variable.
        optimizer: Number of the optimizer that it belongs to, or `None`.
    """
    # `tf.Tensor.numpy` documents that it may return a view. While a tensor
    # holds the memory of a variable, TensorFlow gives the variable new memory
    # at its next update, and copies on all cores. A copy made here would
    # delay the step.
    tensor = tf.convert_to_tensor(variable)
    # NumPy cannot make a view of a bfloat16 scalar.
    value = np.asarray(tensor if tensor.shape.rank else tensor.numpy())
    # The path of a slot says where it was made: in the first step, or before.
    path = get_path(variable) if optimizer is None else str(variable.name)
    return {"path": path, "value": value}


def get_path(variable: Any) -> str:
    """Returns the path of a Keras variable, or the name of a `tf.Variable`."""
    if hasattr(variable, "path"):
        return str(variable.path)
    # Without the scopes in which the first step has made it.
    return str(variable.name).rpartition("/")[2]
