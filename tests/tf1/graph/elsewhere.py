"""Loads models with graphs in a process that imports only the package."""

from collections.abc import Sequence
from pathlib import Path
import subprocess
import sys

import numpy as np

SCRIPT = """
import contextlib
import sys

import keras_port

import keras
import numpy as np
import tensorflow as tf

folder, count = sys.argv[1:]
# Two of them are also trained by two devices, whose number is set here.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
for number in range(int(count)):
    path = f"{folder}/{number}.keras"
    try:
        keras.saving.load_model(path)
    except ValueError as error:
        assert "safe_mode=False" in str(error), error
    else:
        raise AssertionError("a graph was loaded in safe mode")
    model = keras.saving.load_model(path, safe_mode=False)
    given = np.load(f"{folder}/{number}.npz")
    x = [given[name] for name in sorted(given)]
    x = x if len(x) > 1 else x[0]
    before = model.predict(x, verbose=0)
    model.compile("sgd", "mse")
    loss = model.train_on_batch(x, np.zeros_like(before))
    assert np.isfinite(loss)
    np.savez(f"{folder}/{number}.out.npz", before=before, loss=loss)


def trained(number, steps, make_scope):
    with make_scope():
        model = keras.saving.load_model(
            f"{folder}/{number}.keras", safe_mode=False
        )
        model.compile(keras.optimizers.SGD(0.05), "mse")
    x = np.load(f"{folder}/{number}.npz")["arr_0"]
    classes = model.output_shape[-1]
    labels = np.eye(classes, dtype="float32")[np.arange(len(x)) % classes]
    data = tf.data.Dataset.from_tensor_slices((x, labels)).batch(len(x))
    model.fit(data, epochs=steps, verbose=0)
    return {weight.path: weight.numpy() for weight in model.weights}


def differences(number, steps, ending):
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    assert strategy.num_replicas_in_sync == 2
    one = trained(number, steps, contextlib.nullcontext)
    two = trained(number, steps, strategy.scope)
    return [
        abs(one[path] - two[path]).max() / abs(one[path]).max()
        for path in one
        if path.endswith(ending)
    ]


np.savez(
    f"{folder}/differences.npz",
    weights=differences(0, 3, ""),
    # Every device takes the mean of its own shard; these are averaged.
    moving_mean=differences(3, 1, "stem/BatchNorm/moving_mean"),
)
"""


def load_elsewhere(
    folder: Path, arrays: Sequence[list[np.ndarray]]
) -> list[np.ndarray]:
    """Returns what another process predicts with `0.keras` and so on.

    It also refuses each of them in safe mode, trains each for a step, and
    leaves in `differences.npz` how the weights after steps by two devices
    differ from those by one: of the model 0 all, of the model 3 a moving mean.
    """
    for number, one in enumerate(arrays):
        np.savez(folder / f"{number}.npz", *one)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(len(arrays))],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return [
        np.load(folder / f"{number}.out.npz")["before"]
        for number in range(len(arrays))
    ]
