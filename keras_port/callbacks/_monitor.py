"""Compares the values of one evaluation result."""

import math
from typing import Literal

Mode = Literal["auto", "min", "max"]
MODES = ("auto", "min", "max")
# Endings of names for which `mode="auto"` knows the direction.
MAX_ENDINGS = ("accuracy", "acc", "auc", "precision", "recall")
MIN_ENDINGS = ("loss", "error", "error_rate", "crossentropy", "mse", "mae")


class Monitor:
    """Compares values of one result, named as in the logs.

    Args:
        name: Name of the result, such as `"val_accuracy"`.
        mode: `"max"` if larger is better, `"min"` if smaller is better,
            `"auto"` to infer it from the name. Defaults to `"auto"`.
        min_delta: A value is better if it improves by more than this, in the
            unit of the result. Defaults to 0.

    Raises:
        ValueError: For an unknown mode, a negative `min_delta`, or a name
            from which `"auto"` cannot infer the direction.
    """

    def __init__(
        self, name: str, mode: Mode = "auto", min_delta: float = 0.0
    ) -> None:
        if mode not in MODES:
            raise ValueError(
                f"`mode` must be one of {MODES}. Received: mode={mode!r}"
            )
        if not min_delta >= 0:
            raise ValueError(
                "`min_delta` must be 0 or more. "
                f"Received: min_delta={min_delta}"
            )
        self.name = name
        self.mode = infer_direction(name) if mode == "auto" else mode
        self.min_delta = min_delta

    def is_better(self, value: float, best: float | None) -> bool:
        """Returns whether `value` is better than `best`.

        NaN and infinities are never better, even as the first value
        (keras#21771).

        Args:
            value: The new value.
            best: Best value so far, or `None` if there is none.
        """
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        gain = value - best if self.mode == "max" else best - value
        return gain > self.min_delta

    def check_available(self, names: list[str]) -> None:
        """Raises `ValueError` unless the result is among `names`."""
        if self.name not in names:
            raise ValueError(
                f"`monitor={self.name!r}` is not among the results of the "
                f"evaluations: {', '.join(sorted(names))}. Monitor one of "
                "these, or add the metric in `compile`."
            )


def infer_direction(name: str) -> Literal["min", "max"]:
    """Returns the direction of a result from the ending of its name."""
    for ending in MAX_ENDINGS:
        if name == ending or name.endswith(f"_{ending}"):
            return "max"
    for ending in MIN_ENDINGS:
        if name == ending or name.endswith(f"_{ending}"):
            return "min"
    raise ValueError(
        f'`mode="auto"` cannot infer whether a larger `{name}` is better. '
        'Give `mode="max"` or `mode="min"`. The known endings of names are: '
        f"{', '.join(MAX_ENDINGS)} (max); {', '.join(MIN_ENDINGS)} (min)."
    )
