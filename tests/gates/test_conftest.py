"""The fixtures and options of conftest.py do what they say."""

import os

import keras
import numpy as np
import pytest

import keras_port
from tests.gates import checkout

# Runs a small test suite below, with the conftest.py of this one.
pytest_plugins = "pytester"

FAULT_TESTS = """
import pytest

@pytest.mark.fault("B01")
def test_one(): ...

@pytest.mark.slow
@pytest.mark.fault("B02", "B01")
def test_slow(): ...

def test_other(): ...
"""

INI = """
[pytest]
addopts = -m "not slow and not tools"
markers =
    fault(id): as in setup.cfg
    slow: as in setup.cfg
    tools: as in setup.cfg
"""


def sample_and_name() -> tuple[float, str]:
    """Returns a random number and the name of a new layer."""
    return float(np.random.random()), keras.layers.Dense(1).name  # noqa: NPY002


FIRST: list[tuple[float, str]] = []


@pytest.mark.parametrize("turn", [0, 1])
def test_every_test_begins_with_the_same_seed_and_names(turn: int) -> None:
    FIRST.append(sample_and_name())
    assert FIRST[0] == FIRST[-1]
    assert FIRST[0][1] == "dense"


def test_float64_is_the_dtype_of_weights(float64: None) -> None:
    layer = keras.layers.Dense(1)
    layer.build((None, 2))
    assert layer.kernel.dtype == layer.compute_dtype == "float64"


def test_float64_is_restored_after_a_test() -> None:
    # The test above runs before this one.
    assert keras.config.floatx() == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_small_mnist_is_the_beginning_of_mnist(
    mnist: keras_port.datasets.Splits, small_mnist: keras_port.datasets.Splits
) -> None:
    assert [len(split) for split in small_mnist] == [600, 200, 200]
    for small, whole in zip(small_mnist, mnist, strict=True):
        np.testing.assert_array_equal(small.images, whole.images[: len(small)])
        np.testing.assert_array_equal(small.labels, whole.labels[: len(small)])


def test_keras_runs_on_tensorflow() -> None:
    assert os.environ["KERAS_BACKEND"] == keras.config.backend()


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """Returns a suite with a test of B01, a slow one of B02 and another one."""
    conftest = checkout.ROOT / "tests" / "conftest.py"
    pytester.makeconftest(conftest.read_text())
    pytester.makeini(INI)
    pytester.makepyfile(test_faults=FAULT_TESTS)
    return pytester


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ([], 2),
        (["--fault", "B01"], 2),
        (["--fault", "b02"], 1),
        (["-m", "fault"], 2),
        (["-m", "fault and not slow"], 1),
        (["-m", "slow"], 1),
    ],
)
def test_fault_selects_rows_of_the_table(
    suite: pytest.Pytester, arguments: list[str], passed: int
) -> None:
    suite.runpytest(*arguments).assert_outcomes(
        passed=passed, deselected=3 - passed
    )


def test_an_unknown_row_is_rejected_with_the_known_ones(
    suite: pytest.Pytester,
) -> None:
    result = suite.runpytest("--fault", "B99")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*B99*known rows: B01, B02"])


def test_a_fault_marker_without_a_row_is_rejected(
    suite: pytest.Pytester,
) -> None:
    suite.makepyfile(test_faults=FAULT_TESTS.replace('"B01"', '"1"'))
    result = suite.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_one*expected row numbers*"])
