"""Everything that a training step changes in a model, as plain values."""

import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import strip_names
from keras_port._support import strip_numbers
from keras_port.callbacks._steps import list_optimizers


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
    known = getattr(model, "history", None)
    history: dict[str, list[float]] = {}
    epochs: list[int] = []
    if known is not None:
        history = {name: list(v) for name, v in known.history.items()}
        epochs = list(known.epoch)
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
        "variables": list_records(model),
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
        try:
            model.build_from_config(state["build"])
        except Exception as error:  # Of any layer.
            raise ValueError(f"the model cannot be built: {error}") from error
    saved = state["variables"]
    build_optimizers(model, saved)
    variables = [variable for variable, _ in list_step_variables(model)]
    check_records(list_records(model), saved)
    for variable, record in zip(variables, saved, strict=True):
        variable.assign(record["value"])
    set_metrics(model, state["metrics"])
    history = getattr(model, "history", None)
    if history is not None:
        history.history.update(state["history"])
        history.epoch[:0] = state["epochs"]


def set_metrics(model: keras.Model, records: list[dict[str, Any]]) -> None:
    """Restores the running metrics that Keras has created by now.

    Args:
        model: The model.
        records: Names and values of their variables.

    Raises:
        ValueError: If a value does not fit its variable.
    """
    metrics = {v.path: v for v in model.metrics_variables}
    for record in records:
        path, value = record["path"], record["value"]
        if path not in metrics:
            continue
        shape = tuple(metrics[path].shape)
        if value.shape != shape or value.dtype.kind not in "fiub":
            raise ValueError(
                f"The snapshot has {value.dtype} values of shape {value.shape} "
                f"for the metric variable `{path}`, which has shape {shape}."
            )
        metrics[path].assign(value)


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


def list_records(model: keras.Model) -> list[dict[str, Any]]:
    """Returns name, value and optimizer of all variables of a step."""
    return [
        {**record_variable(variable, optimizer), "optimizer": optimizer}
        for variable, optimizer in list_step_variables(model)
    ]


def list_step_variables(model: keras.Model) -> list[tuple[Any, int | None]]:
    """Returns all variables that a step changes, except those of metrics.

    These are the weights, the states of random generators, the slots and the
    step of all optimizers, and the accumulated gradients of a `GradientModel`.

    Returns:
        Variables, every one with the number of its optimizer or `None`.

    Raises:
        ValueError: If the model has no weights yet.
    """
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
    for variable in getattr(model, "step_variables", []):
        found.setdefault(id(variable), (variable, None))
    return [pair for key, pair in found.items() if key not in metrics]


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


def get_configuration(model: keras.Model) -> dict[str, Any]:
    """Returns the optimizer and the loss of a training as JSON values.

    Without the learning rate, if it is a number: callbacks change it, and
    `get_config` returns the rate of now. It is one of the variables.
    """
    config: dict[str, Any] = {}
    optimizer = getattr(model, "optimizer", None)
    for name, value in (("optimizer", optimizer), ("loss", model.loss)):
        if isinstance(value, str):
            config[name] = value
        elif hasattr(value, "get_config"):
            config[name] = type(value).__name__
            config[f"{name}_config"] = get_config(value)
    # Objects are compared by their class.
    text = json.dumps(config, default=lambda value: type(value).__name__)
    without_names: dict[str, Any] = strip_names(json.loads(text))
    return drop_rates(without_names)


def get_config(value: Any) -> dict[str, Any]:
    """Returns the configuration of an object, `{}` if it has none.

    A schedule, an optimizer or a loss of one's own may lack `get_config`,
    which nothing but saving it needs.
    """
    try:
        config: dict[str, Any] = value.get_config()
    except (NotImplementedError, TypeError):
        return {}
    return config


def drop_rates(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration without learning rates that are numbers."""
    return {
        key: drop_rates(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key != "learning_rate" or not isinstance(value, int | float)
    }


def get_learning_rates(model: keras.Model) -> list[float]:
    """Returns the learning rates of all optimizers that have a number."""
    rates = []
    for optimizer in list_optimizers(model):
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        rate = get_config(inner).get("learning_rate")
        if isinstance(rate, int | float):
            rates.append(float(np.float32(rate)))
    return rates


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
        if kind != key and isinstance(old or {}, dict):
            lines += compare_configurations(old or {}, new or {})
        elif old != new:
            lines.append(f"{key} {old} there, {new} here")
    return lines


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
