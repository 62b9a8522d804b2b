"""One result of the evaluations, and when it is better."""

import math
from typing import Literal

Mode = Literal["auto", "min", "max"]
MODES = ("auto", "min", "max")
# What a name ends with tells its direction, and only for these.
MAX_ENDINGS = ("accuracy", "acc", "auc", "precision", "recall")
MIN_ENDINGS = ("loss", "error", "error_rate", "crossentropy", "mse", "mae")


class Monitor:
    """Compares values of one result, named as in the logs.

    Args:
        name: Name of the result, such as `"val_accuracy"`.
        mode: `"max"` if larger is better, `"min"` if smaller is, `"auto"` to
            tell it from the name where that is safe.
        min_delta: A value is better if it improves by more than this, in the
            result's own unit. Defaults to 0.

    Raises:
        ValueError: For an unknown mode, a negative `min_delta`, or a name
            whose direction `"auto"` would have to guess.
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
        self.mode = direction(name) if mode == "auto" else mode
        self.min_delta = min_delta

    def is_better(self, value: float, best: float | None) -> bool:
        """Tells whether `value` is better than `best`, `None` for none yet.

        NaN and infinities are never better, also when they come first
        (keras#21771).
        """
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        gain = value - best if self.mode == "max" else best - value
        return gain > self.min_delta

    def value_of(self, logs: dict[str, float]) -> float:
        """Returns this result out of an evaluation's logs."""
        self.check_available(list(logs))
        return float(logs[self.name])

    def check_available(self, names: list[str]) -> None:
        """Raises `ValueError` unless the evaluations give this result."""
        if self.name not in names:
            raise ValueError(
                f"`monitor={self.name!r}` is not among the results of the "
                f"evaluations: {', '.join(sorted(names))}. Monitor one of "
                "these, or add the metric in `compile`."
            )


def direction(name: str) -> Literal["min", "max"]:
    """Returns the direction of a result whose name leaves no doubt."""
    for ending in MAX_ENDINGS:
        if name == ending or name.endswith(f"_{ending}"):
            return "max"
    for ending in MIN_ENDINGS:
        if name == ending or name.endswith(f"_{ending}"):
            return "min"
    raise ValueError(
        f'`mode="auto"` cannot tell whether a larger `{name}` is better. '
        'Give `mode="max"` or `mode="min"`. Names whose direction is known end '
        f"with: {', '.join(MAX_ENDINGS)} (max); {', '.join(MIN_ENDINGS)} (min)."
    )
