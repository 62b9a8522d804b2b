"""The direction of a result, and when a value is better."""

import math

import pytest

from keras_port.callbacks._monitor import Monitor


@pytest.mark.fault("B04")
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_accuracy", "max"),
        ("accuracy", "max"),
        ("val_sparse_categorical_accuracy", "max"),
        ("val_auc", "max"),
        ("test_precision", "max"),
        ("val_loss", "min"),
        ("val_mean_squared_error", "min"),
        ("val_error_rate", "min"),
        ("val_binary_crossentropy", "min"),
    ],
)
def test_a_plain_name_tells_its_direction(name: str, mode: str) -> None:
    assert Monitor(name).mode == mode


@pytest.mark.fault("B04")
@pytest.mark.parametrize("name", ["f1", "val_f1", "val_score", "lossless"])
def test_a_name_that_does_not_tell_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f'(?s)`{name}`.*mode="max"'):
        Monitor(name)
    assert Monitor(name, "max").mode == "max"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"mode": "largest"}, "`mode`"),
        ({"min_delta": -0.1}, "`min_delta`"),
        ({"min_delta": math.nan}, "`min_delta`"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, object], part: str
) -> None:
    with pytest.raises(ValueError, match=part):
        Monitor("val_loss", **arguments)


@pytest.mark.fault("B03")
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_better(value: float) -> None:
    assert not Monitor("val_loss").is_better(value, None)
    assert not Monitor("val_loss").is_better(value, 0.5)
    assert not Monitor("val_accuracy").is_better(value, 0.5)


def test_better_is_strictly_better_by_min_delta() -> None:
    maximum = Monitor("val_accuracy", min_delta=0.01)
    assert maximum.is_better(0.5, None)
    assert maximum.is_better(0.52, 0.5)
    assert not maximum.is_better(0.505, 0.5)
    minimum = Monitor("val_loss")
    assert minimum.is_better(0.4, 0.5)
    assert not minimum.is_better(0.5, 0.5)
