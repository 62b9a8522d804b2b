"""The checks of what `TensorBoard` is given."""

from collections.abc import Mapping
from typing import Any

from keras_port.datasets import ImageSplit


def check_profile(profile_batch: Any) -> None:
    """Raises `ValueError` unless the steps of a profile are two in order."""
    if profile_batch is None:
        return
    steps = profile_batch if isinstance(profile_batch, tuple) else ()
    if len(steps) != 2 or not 1 <= steps[0] <= steps[1]:
        raise ValueError(
            "`profile_batch` must be the first and the last step of the "
            "profile, counted from 1, as in (10, 20). "
            f"Received: profile_batch={profile_batch}"
        )


def check_data(data: Any) -> None:
    """Raises `ValueError` unless the data is a split or one batch."""
    if data is None or isinstance(data, ImageSplit):
        return
    if not isinstance(data, tuple) or len(data) != 2:
        raise ValueError(
            "`data` must be an ImageSplit or arrays (x, y). "
            f"Received: {type(data).__name__}"
        )


def check_hparams(values: Mapping[str, Any] | None) -> None:
    """Raises `ValueError` for a value that the page cannot show."""
    for name, value in (values or {}).items():
        if not isinstance(value, bool | int | float | str):
            raise ValueError(
                "`hparams` must be bool, int, float or str by name; convert "
                f"others, as in `float(rate)`. Received: {name}={value!r} of "
                f"type {type(value).__name__}"
            )
