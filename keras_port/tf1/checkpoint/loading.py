"""Weights, slots and step count out of a TensorFlow 1 checkpoint."""

import os
from typing import get_args

import keras

from keras_port.tf1.checkpoint.files import CheckpointFile
from keras_port.tf1.checkpoint.files import creation_order
from keras_port.tf1.checkpoint.files import open_checkpoint
from keras_port.tf1.checkpoint.loading_plan import LoadingPlan
from keras_port.tf1.checkpoint.map import Names
from keras_port.tf1.checkpoint.map import by_map
from keras_port.tf1.checkpoint.matching import Match
from keras_port.tf1.checkpoint.matching import Matcher
from keras_port.tf1.checkpoint.model_weights import ModelWeight
from keras_port.tf1.checkpoint.model_weights import model_weights
from keras_port.tf1.checkpoint.report import LoadReport
from keras_port.tf1.checkpoint.report import Misshaped
from keras_port.tf1.checkpoint.slots import has_optimizer
from keras_port.tf1.checkpoint.variables import classified

MEND = (
    "Say which variable is which by `names={path: name}`, load what fits by "
    "`strict=False`, or the weights alone by `optimizer=False`."
)


def load_checkpoint(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    names: Names | None = None,
    match: Match = "auto",
    optimizer: bool = True,
    step: int | None = None,
    strict: bool = True,
) -> LoadReport:
    """Loads a TensorFlow 1 checkpoint into a Keras model, weights and slots.

    Without `names`, the variables are recognised by name (`conv1/weight` is
    the kernel of the layer `conv1`, `W` the only kernel), or else by the order
    in which they were made (`Variable`, `Variable_1`, ..., or that of the
    `.meta` file), or else by shapes that occur once: the first way in which
    every weight gets a variable of its shape. Automatic names of Keras, such
    as `dense_1`, are counted from the model's first layer.

    If the model is compiled, the slots of Adam, momentum or RMSProp and the
    step count go into its optimizer. Nothing is assigned before all of it has
    been read and checked.

    Args:
        model: A built `keras.Model`, any.
        path: The checkpoint's prefix, such as `"folder/model.ckpt"`; one of
            its files; its folder, whose `checkpoint` file then tells which is
            meant; or a file of the first checkpoint format.
        names: The name in the file for each path in the model, a dictionary
            or a function of the path. Defaults to `None`: by `match`.
        match: `"name"`, `"order"` or `"shape"` for one way alone, or
            `"auto"`. Defaults to `"auto"`.
        optimizer: Whether slots and step count are loaded, if the model is
            compiled. Defaults to `True`.
        step: Updates so far, for a file that does not tell or tells another
            count. Defaults to `None`: from Adam's powers, or `global_step`.
        strict: Whether a missing variable or another shape is an error. If
            not, what fits is loaded. Unused variables are never one. Defaults
            to `True`.

    Returns:
        A `LoadReport` of what was used, unused, missing and of another shape.

    Raises:
        FileNotFoundError: If there is no checkpoint at `path`.
        ValueError: If the file is cut or is something else; if it does not
            fit and `strict` is true; or for an optimizer whose state
            TensorFlow 1 keeps differently.

    Example:

    >>> _ = save_checkpoint(model, "export/model.ckpt")
    >>> fresh = keras_port.models.build_perceptron()
    >>> report = load_checkpoint(fresh, "export/model.ckpt")
    >>> print(report)
    export/model.ckpt: weights recognised by name, step count none
      used: 2
        fc/kernel <- W
        fc/bias <- b
      unused in the file: 1
        global_step
    """
    check_arguments(match, step)
    weights = model_weights(model)
    file = open_checkpoint(path)
    variables = classified(file)
    if names is None:
        matcher = Matcher(weights, variables, creation_order(file.prefix))
        matching = matcher.match(match)
    else:
        matching = by_map(names, weights, variables)
    misshaped = wrong_shapes(weights, matching.pairs, file)
    wrong = {pair.path for pair in misshaped}
    fitting = {p: n for p, n in matching.pairs.items() if p not in wrong}
    plan = LoadingPlan(model, file, weights, fitting)
    if optimizer and has_optimizer(model):
        plan.add_optimizer(variables, step)
    taken = {name for _, name in plan.used} | {m.name for m in misshaped}
    report = LoadReport(
        prefix=os.fspath(file.prefix),
        matched_by=matching.how,
        used=tuple(plan.used),
        unused=tuple(v.name for v in variables if v.name not in taken),
        missing=tuple(
            [w.path for w in weights if w.path not in matching.pairs]
            + plan.missing
        ),
        misshaped=misshaped,
        step=plan.state.step if plan.state else None,
    )
    if strict and (problems := report.problems()):
        raise ValueError(
            f"{file.prefix} does not fit the model {model.name!r}, which stays "
            f"as it was: {problems}. {MEND}"
        )
    plan.carry_out()
    return report


def wrong_shapes(
    weights: list[ModelWeight], pairs: dict[str, str], file: CheckpointFile
) -> tuple[Misshaped, ...]:
    """Returns the pairs whose two shapes differ."""
    return tuple(
        Misshaped(w.path, w.shape, pairs[w.path], file.shapes[pairs[w.path]])
        for w in weights
        if w.path in pairs and file.shapes[pairs[w.path]] != w.shape
    )


def check_arguments(match: str, step: int | None) -> None:
    """Raises for an unknown way of matching or a negative step."""
    if match not in get_args(Match):
        raise ValueError(
            f"`match` must be one of {get_args(Match)}. "
            f"Received: match={match!r}"
        )
    if step is not None and step < 0:
        raise ValueError(f"`step` must be 0 or more. Received: step={step}")
