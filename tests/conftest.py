"""What all tests share: a quiet TensorFlow, a clean Keras and small data."""

from collections.abc import Iterator
import gc
import os
import re

# TensorFlow and Keras read these when they are imported. The tests use
# TensorFlow even if the machine's keras.json names another backend.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"
# Two processes share the cores, so more threads would only wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import pytest
import tensorflow as tf

from keras_port import datasets

SEED = 20_260_101
# The CPU acts as this many devices in the tests of `distribution`. It must be
# split before TensorFlow uses it; other tests use only the first device.
DEVICES = 4
# What setup.cfg leaves out.
DEFAULT_MARKS = "not slow and not tools"
# The letter says which list of reports the fault is from.
FAULT_ID = re.compile(r"[A-Z]\d+")

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * DEVICES,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--fault ID`, which may be repeated."""
    parser.addoption(
        "--fault",
        action="append",
        default=[],
        metavar="ID",
        help="run only the tests of this row of the fault table, slow ones too",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Includes the slow tests if `--fault` selects a row."""
    if config.getoption("fault") and config.option.markexpr == DEFAULT_MARKS:
        config.option.markexpr = ""


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Rejects a malformed `fault` marker, and selects the rows of `--fault`."""
    wanted = {fault_id.upper() for fault_id in config.getoption("fault")}
    chosen, others, known = [], [], set()
    for item in items:
        ids = fault_ids(item)
        known |= ids
        (chosen if ids & wanted else others).append(item)
    if not wanted:
        return
    if unknown := wanted - known:
        raise pytest.UsageError(
            f"No test has the row {', '.join(sorted(unknown))} of `--fault`; "
            f"known rows: {', '.join(sorted(known)) or 'none'}"
        )
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


def fault_ids(item: pytest.Item) -> set[str]:
    """Returns the rows of the fault table that a test covers."""
    ids = set()
    for marker in item.iter_markers("fault"):
        if not marker.args or not all(
            isinstance(arg, str) and FAULT_ID.fullmatch(arg)
            for arg in marker.args
        ):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker `fault` got {marker.args!r}; "
                'expected row numbers, as in fault("B66")'
            )
        ids.update(marker.args)
    return ids


@pytest.fixture(scope="module", autouse=True)
def freeze_old_objects() -> None:
    """Excludes the objects of earlier files from garbage collection.

    Clearing the Keras session collects garbage. Searching what TensorFlow's
    import and earlier files left took a fifth of the time of
    `tests/training`.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_keras() -> Iterator[None]:
    """Gives every test the same seed, float32, and layer names from 1 on."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def float64(clean_keras: None) -> None:
    """Sets float64 as the dtype of weights and computation in one test.

    Formulas are compared in float64, where rounding cannot hide a fault.
    `clean_keras` restores float32.
    """
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")


@pytest.fixture(scope="session")
def mnist() -> datasets.Splits:
    """Returns the MNIST that ships with the package, read once."""
    return datasets.load_mnist()


@pytest.fixture(scope="session")
def small_mnist(mnist: datasets.Splits) -> datasets.Splits:
    """Returns the first 600, 200 and 200 images of the three splits."""
    return datasets.Splits(
        train=mnist.train[:600],
        validation=mnist.validation[:200],
        test=mnist.test[:200],
    )
