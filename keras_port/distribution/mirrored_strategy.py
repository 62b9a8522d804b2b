"""Training on several devices of one machine."""

import tensorflow as tf

from keras_port.distribution.devices import choose_devices


def mirrored_strategy(
    num_devices: int | None = None,
) -> tf.distribute.MirroredStrategy:
    """Creates a strategy in which the devices of this machine share a batch.

    Every device has a copy of the model, called a replica. A `GradientModel`
    gives the same result as on one device with the whole batch.

    On a machine without a GPU, the CPU can be split into several devices to
    test a program. Call this before TensorFlow uses the CPU. Training does not
    become faster.

    Args:
        num_devices: Number of devices. Defaults to `None`: all GPUs, or the CPU
            if there is no GPU.

    Returns:
        A strategy in whose `scope()` the model is built and compiled. `fit`
        is called outside of it.

    Raises:
        ValueError: For a number below 1, or more devices than there are.
        RuntimeError: If the CPU would have to be split into several devices and
            TensorFlow is already using it.

    Example:

    >>> strategy = keras_port.distribution.mirrored_strategy()
    >>> with strategy.scope():
    ...     model = build_perceptron()
    ...     model.compile(optimizer="sgd", loss=CourseCrossEntropy())
    """
    devices = choose_devices(num_devices)
    # The other reductions fail on CPU devices: within `steps_per_execution`,
    # and with a second strategy in the process.
    on_cpu = tf.DeviceSpec.from_string(devices[0]).device_type == "CPU"
    reduction = tf.distribute.ReductionToOneDevice() if on_cpu else None
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)
