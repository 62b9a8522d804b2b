"""Chooses devices of this machine."""

import tensorflow as tf

from keras_port._support import check_integer

# TensorFlow makes threads for every device; thousands of them never start.
MAX_DEVICES = 256


def choose_devices(num_devices: int | None = None) -> list[str]:
    """Returns the names of the first `num_devices` devices.

    Args:
        num_devices: Number of devices, `None` for all GPUs, or for the CPU
            if there is no GPU.

    Raises:
        ValueError: If the number is less than 1 or more than 256, or there are
            fewer devices.
        RuntimeError: If the CPU would have to be split and TensorFlow is
            already using it.
    """
    if num_devices is not None:
        check_integer(
            "num_devices",
            num_devices,
            maximum=MAX_DEVICES,
            note=", or None for all GPUs",
        )
    if not tf.config.list_physical_devices("GPU"):
        split_cpu(num_devices or 1)
        return [f"/CPU:{number}" for number in range(num_devices or 1)]
    names = [device.name for device in tf.config.list_logical_devices("GPU")]
    if num_devices is None:
        return names
    if num_devices > len(names):
        raise ValueError(
            f"`num_devices={num_devices}`, but there are {len(names)} GPUs: "
            f"{', '.join(names)}. Ask for at most {len(names)}, or hide the "
            "GPUs with CUDA_VISIBLE_DEVICES=-1 to split the CPU."
        )
    return names[:num_devices]


def split_cpu(count: int) -> None:
    """Makes the CPU appear as at least `count` devices.

    Raises:
        RuntimeError: If TensorFlow is already using it as fewer devices.
    """
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    configured = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(configured) >= count:
        return
    parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:
        raise RuntimeError(
            f"`num_devices={count}`, but TensorFlow uses the CPU as "
            f"{len(configured)} already and can split it only at its start. "
            "Create the strategy before the first tensor, model or dataset; "
            "there is no GPU on this machine."
        ) from None
