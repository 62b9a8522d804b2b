"""Which devices of this machine take part."""

import tensorflow as tf


def chosen_devices(num_devices: int | None = None) -> list[str]:
    """Returns the names of the first `num_devices` devices.

    Args:
        num_devices: Number of devices, `None` for all GPUs, or the CPU where
            there is none.

    Raises:
        ValueError: For a number below 1, or more devices than there are.
        RuntimeError: If the CPU would have to be divided, and TensorFlow has
            begun to use it.
    """
    if num_devices is not None and (
        not isinstance(num_devices, int) or num_devices < 1
    ):
        raise ValueError(
            "`num_devices` must be a positive integer, or None for all GPUs. "
            f"Received: num_devices={num_devices!r}"
        )
    if not tf.config.list_physical_devices("GPU"):
        divide_cpu(num_devices or 1)
        return [f"/CPU:{number}" for number in range(num_devices or 1)]
    names = [device.name for device in tf.config.list_logical_devices("GPU")]
    if num_devices is None:
        return names
    if num_devices > len(names):
        raise ValueError(
            f"`num_devices={num_devices}`, but there are {len(names)} GPUs: "
            f"{', '.join(names)}. Ask for at most {len(names)}, or hide the "
            "GPUs by CUDA_VISIBLE_DEVICES=-1 to divide the CPU."
        )
    return names[:num_devices]


def divide_cpu(count: int) -> None:
    """Makes the CPU appear as at least `count` devices.

    Raises:
        RuntimeError: If TensorFlow has begun to use it as fewer.
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
            f"{len(configured)} already, and divides it at its start only. "
            "Make the strategy before the first tensor, model or dataset; "
            "there is no GPU on this machine."
        ) from None
