"""One device, several replicas and several towers give the same numbers."""

from collections.abc import Callable
import functools
from typing import Any

import keras
import numpy as np
import pytest

from keras_port import losses
from keras_port import models
from tests.distribution.networks import STEPS
from tests.distribution.networks import Trained
from tests.distribution.networks import build_small_cnn
from tests.distribution.networks import check_same
from tests.distribution.networks import trained

BUILDERS: dict[str, Callable[[], Any]] = {
    "perceptron": models.build_perceptron,
    "cnn": build_small_cnn,
}
# Rounding in another order: the sums of float64 differ by some 1e-16.
TOLERANCE = 1e-12


@functools.cache
def on_one_device(network: str, reduction: Any) -> Trained:
    """Trains on one device, once for all tests."""
    return train(network, reduction, "plain", 1)


def train(network: str, reduction: Any, kind: str, devices: int) -> Trained:
    return trained(
        BUILDERS[network],
        kind,
        devices,
        loss=losses.CourseCrossEntropy(reduction),
    )


def check(network: str, reduction: str, kind: str, devices: int) -> None:
    one = on_one_device(network, reduction)
    several = train(network, reduction, kind, devices)
    assert len(one.losses) == len(several.losses) == STEPS
    assert np.all((several.accuracies >= 0) & (several.accuracies <= 1))
    check_same(several, one, TOLERANCE)


@pytest.mark.usefixtures("float64")
@pytest.mark.fault("B52", "B53")
@pytest.mark.parametrize(
    ("kind", "devices", "reduction"),
    # All combinations are among the slow tests below.
    [
        ("mirrored", 2, "sum"),
        ("towers", 2, "mean_over_elements"),
    ],
)
def test_the_cnn_learns_the_same_on_several_devices(
    kind: str, devices: int, reduction: str
) -> None:
    check("cnn", reduction, kind, devices)


@pytest.mark.usefixtures("float64")
@pytest.mark.fault("B52")
@pytest.mark.parametrize("kind", ["mirrored", "towers"])
def test_the_perceptron_learns_the_same_on_two_devices(kind: str) -> None:
    check("perceptron", "mean_over_elements", kind, 2)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.fault("B52", "B53")
@pytest.mark.parametrize("reduction", ["mean_over_elements", "sum"])
@pytest.mark.parametrize("devices", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["mirrored", "towers"])
@pytest.mark.parametrize("network", list(BUILDERS))
def test_all_learn_the_same(
    network: str, kind: str, devices: int, reduction: str
) -> None:
    check(network, reduction, kind, devices)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.fault("B45", "B47")
@pytest.mark.parametrize("kind", ["mirrored", "towers"])
def test_clipping_and_accumulation_act_on_the_whole_batch(kind: str) -> None:
    runs = [
        trained(
            build_small_cnn,
            kind_of_run,
            2,
            global_clipnorm=0.01,
            gradient_accumulation_steps=2,
            steps_per_execution=3,
            optimizer=lambda: keras.optimizers.SGD(0.5, momentum=0.9),
        )
        for kind_of_run in (kind, "plain")
    ]
    assert runs[0].model.batches_seen == STEPS
    assert int(runs[0].model.optimizer.iterations.numpy()) == STEPS // 2
    check_same(*runs, TOLERANCE)


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
def test_what_keras_optimizers_do_besides_is_done_once() -> None:
    def optimizer() -> Any:
        return keras.optimizers.Adam(
            0.01, weight_decay=0.1, clipnorm=0.5, use_ema=True
        )

    check_same(
        trained(build_small_cnn, "mirrored", 3, optimizer=optimizer),
        trained(build_small_cnn, "plain", 1, optimizer=optimizer),
        TOLERANCE,
    )


@pytest.mark.slow
def test_float32_agrees_to_its_rounding() -> None:
    check_same(
        trained(build_small_cnn, "mirrored", 2),
        trained(build_small_cnn, "plain", 1),
        1e-5,
    )
