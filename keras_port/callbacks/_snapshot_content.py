"""What a snapshot holds, checked once when it is read.

A file may be complete and still not fit: another version of this package has
written it, or somebody has changed it. Without this check such a file would
raise an error somewhere in the middle of a restore.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_port._support import INT64_MAX
from keras_port._support import show_name

# Increase it with every change of `SNAPSHOT`.
VERSION = 3
# Raises `ValueError` if a value is not what belongs at a place.
Check = Callable[[Any, str], None]


def check_snapshot(content: Any, *, fit: int, step: int) -> None:
    """Raises `ValueError` unless a file holds what a snapshot must.

    Args:
        content: What the file holds.
        fit: Number of the `fit` that the file's name says.
        step: The step that the file's name says.
    """
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(
            f"it has version {show_name(repr(version))}, and this version of "
            f"keras_port reads {VERSION}. Finish the training with the "
            "version of the package that began it"
        )
    SNAPSHOT(content, "")
    if (content["fit"], content["step"]) != (fit, step):
        raise ValueError(
            f"its content is of step {content['step']} of fit "
            f"{content['fit']}, not what the name says"
        )
    for name, state in content["callbacks"].items():
        check = CALLBACKS.get(name.partition(":")[0].partition("(")[0])
        if check is not None:
            check(state, f"['callbacks'][{show_name(repr(name))}]")


def fail(value: Any, place: str, expected: str) -> None:
    """Raises the `ValueError` of every check."""
    raise ValueError(
        f"its content{place} must be {expected}, and is "
        f"{show_name(repr(value), max_length=40)}"
    )


def integer(minimum: int) -> Check:
    """Returns a check for integers from `minimum` on."""

    def check(value: Any, place: str) -> None:
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not (is_integer and minimum <= value <= INT64_MAX):
            fail(value, place, f"an integer of {minimum} or more")

    return check


def number(value: Any, place: str) -> None:
    """Checks for a number; it may be infinite or not a number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        fail(value, place, "a number")


def boolean(value: Any, place: str) -> None:
    """Checks for `True` or `False`."""
    if not isinstance(value, bool):
        fail(value, place, "true or false")


def text(value: Any, place: str) -> None:
    """Checks for a string."""
    if not isinstance(value, str):
        fail(value, place, "a string")


def array(value: Any, place: str) -> None:
    """Checks for an array."""
    if not isinstance(value, np.ndarray):
        fail(value, place, "an array")


def plain(value: Any, place: str) -> None:
    """Checks for what JSON can hold."""
    if isinstance(value, dict):
        mapping_of(plain)(value, place)
    elif isinstance(value, list):
        list_of(plain)(value, place)
    elif not isinstance(value, str | int | float | bool | None):
        fail(value, place, "plain")


def anything(value: Any, place: str) -> None:
    """Checks nothing."""


def optional(check: Check) -> Check:
    """Returns a check that also accepts `None`."""

    def check_optional(value: Any, place: str) -> None:
        if value is not None:
            check(value, place)

    return check_optional


def list_of(check: Check, *, size: int | None = None) -> Check:
    """Returns a check for lists, of any size or of this one."""

    def check_list(value: Any, place: str) -> None:
        if not isinstance(value, list) or size not in (None, len(value)):
            count = "" if size is None else f" of {size} values"
            fail(value, place, f"a list{count}")
        for index, one in enumerate(value):
            check(one, f"{place}[{index}]")

    return check_list


def mapping_of(check: Check) -> Check:
    """Returns a check for dictionaries with any keys."""

    def check_mapping(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            fail(value, place, "a dictionary")
        for key, one in value.items():
            check(one, f"{place}[{show_name(repr(key))}]")

    return check_mapping


def fields(checks: Mapping[str, Check]) -> Check:
    """Returns a check for dictionaries with exactly these keys."""

    def check_fields(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            fail(value, place, "a dictionary")
        if set(value) != set(checks):
            found = ", ".join(sorted(map(str, value))) or "none"
            raise ValueError(
                f"its content{place} must have the fields "
                f"{', '.join(sorted(checks))}; it has {show_name(found)}"
            )
        for name, check in checks.items():
            check(value[name], f"{place}[{name!r}]")

    return check_fields


def configuration(value: Any, place: str) -> None:
    """Checks for the configuration of a training."""
    mapping_of(plain)(value, place)
    boolean(value.get("built"), f"{place}['built']")
    mapping_of(plain)(value.get("layers"), f"{place}['layers']")


def learning_rates(value: Any, place: str) -> None:
    """Checks for the learning rates of at least one `fit`."""
    list_of(list_of(number))(value, place)
    if not value:
        fail(value, place, "a list of at least one value")


count = integer(0)
SNAPSHOT = fields(
    {
        "version": count,
        "fit": count,
        "step": count,
        "batches": count,
        "first_batch": count,
        "position": fields(
            {
                "epoch": count,
                "batch": count,
                "steps_per_epoch": optional(count),
                "batch_size": optional(integer(1)),
            }
        ),
        "configuration": configuration,
        "learning_rates": learning_rates,
        "model": fields(
            {
                "build": optional(mapping_of(plain)),
                "variables": list_of(
                    fields(
                        {
                            "path": text,
                            "value": array,
                            "optimizer": optional(count),
                        }
                    )
                ),
                "metrics": list_of(fields({"path": text, "value": array})),
                "history": mapping_of(list_of(anything)),
                "epochs": list_of(count),
            }
        ),
        "last_logs": mapping_of(anything),
        "callbacks": mapping_of(anything),
    }
)
means = mapping_of(list_of(number, size=2))
# States of the callbacks that this package and Keras define, by their class.
CALLBACKS = {
    "StepEarlyStopping": fields(
        {
            "best": optional(number),
            "best_step": optional(count),
            "wait": count,
            "stopped_step": optional(count),
            "best_weights": optional(list_of(array)),
        }
    ),
    "StepEvaluation": fields(
        {
            "history": mapping_of(list_of(number)),
            "newest": mapping_of(number),
        }
    ),
    "StepProgress": fields({"best": optional(number), "misses": count}),
    "TensorBoard": fields(
        {
            "step": count,
            "means": optional(fields({"before": means, "waiting": means})),
        }
    ),
    "EarlyStopping": fields(
        {
            "best": optional(number),
            "best_epoch": optional(count),
            "best_weights": optional(list_of(array)),
            "stopped_epoch": count,
            "wait": count,
        }
    ),
    "ModelCheckpoint": fields(
        {
            "best": optional(number),
            # Below 0 while batches are skipped.
            "_batches_seen_since_last_saving": integer(-INT64_MAX),
        }
    ),
    "ReduceLROnPlateau": fields(
        {"best": optional(number), "cooldown_counter": count, "wait": count}
    ),
    "SwapEMAWeights": fields({"_ema_weights_in_model": boolean}),
}
