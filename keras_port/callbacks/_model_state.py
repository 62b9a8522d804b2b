"""Everything that a training step changes in a model, as plain values."""

import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import strip_names
from keras_port._support import strip_numbers


def get_state(
    model: keras.Model, *, ended_epoch: tuple[int, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Returns the current values of what a step changes, and the history.

    Args:
        model: The model in training.
        ended_epoch: Number and logs of an epoch that has just ended. It is
            then part of the history, and its running metrics are left out.
            Defaults to `None`: in the middle of an epoch.
    """
    history = {name: list(v) for name, v in model.history.history.items()}
    epochs = list(model.history.epoch)
    metrics = [record_variable(v) for v in model.metrics_variables]
    if ended_epoch is not None:
        # `History` is the last callback and does the same afterwards.
        epoch, logs = ended_epoch
        epochs.append(epoch)
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        metrics = []
    return {
        "build": model.get_build_config(),
        "variables": [record_variable(v) for v in list_step_variables(model)],
        "metrics": metrics,
        "history": history,
        "epochs": epochs,
    }


def set_state(model: keras.Model, state: dict[str, Any]) -> None:
    """Restores what `get_state` returned.

    Raises:
        ValueError: If the model has other variables; it is unchanged then.
    """
    if not model.built and state["build"]:
        # Its inputs are not known before the first batch (keras#20712).
        model.build_from_config(state["build"])
    variables = list_step_variables(model)
    saved = state["variables"]
    check_variables(variables, saved)
    for variable, record in zip(variables, saved, strict=True):
        variable.assign(record["value"])
    # Keras creates most variables of metrics in the first step. Where no
    # evaluation has created them earlier, their means start again.
    metrics = {v.path: v for v in model.metrics_variables}
    for record in state["metrics"]:
        if record["path"] in metrics:
            metrics[record["path"]].assign(record["value"])
    model.history.history.update(state["history"])
    model.history.epoch[:0] = state["epochs"]


def check_variables(variables: list[Any], saved: list[dict[str, Any]]) -> None:
    """Raises `ValueError` unless names and shapes equal the saved ones."""
    here = [(strip_numbers(get_path(v)), tuple(v.shape)) for v in variables]
    there = [(strip_numbers(v["path"]), v["value"].shape) for v in saved]
    if here == there:
        return
    differing = sorted(set(here) ^ set(there))
    if not differing:
        raise ValueError("its variables are in another order")
    path, shape = differing[0]
    place = "this model" if (path, shape) in here else "the snapshot"
    raise ValueError(
        f"{len(differing)} of the variables differ; only {place} has "
        f"`{path}` of shape {shape}, for example"
    )


def list_step_variables(model: keras.Model) -> list[Any]:
    """Returns all variables that a step changes, except those of metrics.

    These are the weights, the states of random generators, the slots and the
    step of the optimizer, and the accumulated gradients of a `GradientModel`.

    Raises:
        ValueError: If the model has no weights yet.
    """
    if not model.built:
        raise ValueError(
            "`TrainingState` needs a model that has its weights. Give the "
            "first layer an `Input`, or call the model once."
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    metrics = {id(v) for v in model.metrics_variables}
    variables = [*model.variables, *model.optimizer.variables]
    kept = [v for v in variables if id(v) not in metrics]
    return kept + list(getattr(model, "step_variables", []))


def get_configuration(model: keras.Model) -> dict[str, Any]:
    """Returns the optimizer and the loss of a training as JSON values."""
    config = {
        "optimizer": type(model.optimizer).__name__,
        "optimizer_config": model.optimizer.get_config(),
    }
    if isinstance(model.loss, keras.losses.Loss):
        config["loss"] = type(model.loss).__name__
        config["loss_config"] = model.loss.get_config()
    elif isinstance(model.loss, str):
        config["loss"] = model.loss
    # Objects are compared by their class.
    text = json.dumps(config, default=lambda value: type(value).__name__)
    without_names: dict[str, Any] = strip_names(json.loads(text))
    return without_names


def compare_configurations(
    there: dict[str, Any], here: dict[str, Any]
) -> list[str]:
    """Returns the differences of two configurations as text for an error.

    Args:
        there: Configuration of the snapshot.
        here: Configuration of the model.
    """
    lines = []
    for key in sorted({*there, *here}):
        kind = key.removesuffix("_config")
        old, new = there.get(key), here.get(key)
        if kind != key and there.get(kind) != here.get(kind):
            continue  # Another class, which has other arguments.
        if kind != key:
            lines += compare_configurations(old or {}, new or {})
        elif old != new:
            lines.append(f"{key} {old} there, {new} here")
    return lines


def record_variable(variable: Any) -> dict[str, Any]:
    """Returns the path of a variable and its value, which stays unchanged."""
    # `tf.Tensor.numpy` documents that it may return a view. While a tensor
    # holds the memory of a variable, TensorFlow gives the variable new memory
    # at its next update, and copies on all cores. A copy made here would
    # delay the step.
    tensor = tf.convert_to_tensor(variable)
    # NumPy cannot make a view of a bfloat16 scalar.
    value = np.asarray(tensor if tensor.shape.rank else tensor.numpy())
    return {"path": get_path(variable), "value": value}


def get_path(variable: Any) -> str:
    """Returns the path of a Keras variable, or the name of a `tf.Variable`."""
    return str(getattr(variable, "path", None) or variable.name)
