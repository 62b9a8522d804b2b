"""All that a training step changes in a model, as plain values."""

import json
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def state_of(
    model: keras.Model, *, ended_epoch: tuple[int, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Returns what a step changes in a model, as it is now, and the history.

    Args:
        model: The model in training.
        ended_epoch: Number and logs of the epoch that has just ended as a
            whole. It is in the history then, and its metrics are done with.
    """
    history = {name: list(v) for name, v in model.history.history.items()}
    epochs = list(model.history.epoch)
    metrics = [record(v) for v in model.metrics_variables]
    if ended_epoch is not None:
        # `History` stands behind all others and does the same next.
        epoch, logs = ended_epoch
        epochs.append(epoch)
        for name, value in logs.items():
            history.setdefault(name, []).append(value)
        metrics = []
    return {
        "build": model.get_build_config(),
        "variables": [record(v) for v in step_variables(model)],
        "metrics": metrics,
        "history": history,
        "epochs": epochs,
    }


def restore(model: keras.Model, state: dict[str, Any]) -> None:
    """Gives a model back what `state_of` returned.

    Raises:
        ValueError: If the variables are others; nothing is changed then.
    """
    if not model.built and state["build"]:
        # Its inputs are not known before the first batch (keras#20712).
        model.build_from_config(state["build"])
    variables = step_variables(model)
    saved = state["variables"]
    wanted = [(plain(path_of(v)), tuple(v.shape)) for v in variables]
    found = [(plain(v["path"]), v["value"].shape) for v in saved]
    if wanted != found:
        differing = sorted(set(wanted) ^ set(found))
        raise ValueError(
            f"{len(differing)} of the variables differ, the first is "
            f"{differing[:1]}"
        )
    for variable, one in zip(variables, saved, strict=True):
        variable.assign(one["value"])
    # Keras makes most of the metrics' variables in the first step only. Where
    # an evaluation has not made them before, their means begin anew.
    metrics = {v.path: v for v in model.metrics_variables}
    for one in state["metrics"]:
        if one["path"] in metrics:
            metrics[one["path"]].assign(one["value"])
    model.history.history.update(state["history"])
    model.history.epoch[:0] = state["epochs"]


def step_variables(model: keras.Model) -> list[Any]:
    """Returns all variables that a step changes, each once, but the metrics'.

    Weights, the states of random generators, the optimizer's slots and step,
    and, of a `GradientModel`, gradients that wait for more batches.

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


def configuration(model: keras.Model) -> dict[str, Any]:
    """Returns what makes it the same training, as plain JSON values."""
    config = {
        "optimizer": type(model.optimizer).__name__,
        "optimizer_config": model.optimizer.get_config(),
    }
    if isinstance(model.loss, keras.losses.Loss):
        config["loss"] = type(model.loss).__name__
        config["loss_config"] = model.loss.get_config()
    elif isinstance(model.loss, str):
        config["loss"] = model.loss
    # Names count up through the process; objects are compared by their class.
    text = json.dumps(config, default=lambda value: type(value).__name__)
    plain_config: dict[str, Any] = without_names(json.loads(text))
    return plain_config


def without_names(value: Any) -> Any:
    """Returns a configuration without the names of its objects."""
    if isinstance(value, dict):
        return {k: without_names(v) for k, v in value.items() if k != "name"}
    if isinstance(value, list):
        return [without_names(item) for item in value]
    return value


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Returns where two configurations differ, as text for an error."""
    lines = []
    for key in sorted({*found, *wanted}):
        kind = key.removesuffix("_config")
        there, here = found.get(key), wanted.get(key)
        if kind != key and found.get(kind) != wanted.get(kind):
            continue  # Of another kind, so with other settings.
        if kind != key:
            lines += differences(there or {}, here or {})
        elif there != here:
            lines.append(f"{key} {there} there, {here} here")
    return lines


def record(variable: Any) -> dict[str, Any]:
    """Returns the name of a variable and its value, which does not change."""
    # A view, as the documentation of `tf.Tensor.numpy` has it. TensorFlow
    # gives a variable other memory at its next update while a tensor holds
    # this one, and copies on all cores; a copy here makes the step wait.
    tensor = tf.convert_to_tensor(variable)
    # NumPy takes no view of a single bfloat16.
    value = np.asarray(tensor if tensor.shape.rank else tensor.numpy())
    return {"path": path_of(variable), "value": value}


def path_of(variable: Any) -> str:
    """Returns the path of a variable of Keras, or the name of TensorFlow's."""
    return str(getattr(variable, "path", None) or variable.name)


def plain(path: str) -> str:
    """Returns a variable's path without Keras' automatic numbers.

    The second model in a process has `dense_1` where the first had `dense`.
    """
    return re.sub(r"_\d+(?=/|_|$|:)", "", path)
