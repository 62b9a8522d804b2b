"""Training on several devices of one machine."""

import tensorflow as tf

from keras_port.distribution.devices import chosen_devices


def mirrored_strategy(
    num_devices: int | None = None,
) -> tf.distribute.MirroredStrategy:
    """Lets several devices of this machine share each batch.

    Each device has a copy of the model, called a replica. Together with a
    `GradientModel` the result is that of one device with the whole batch.

    On a machine without a GPU the CPU can stand for several devices, to try a
    program out: it must be asked for, and divided before TensorFlow has used
    it. That gains no speed.

    Args:
        num_devices: Number of devices. Defaults to `None`: all GPUs, or the
            CPU where there is none.

    Returns:
        A strategy in whose `scope()` the model is built and compiled. `fit`
        is called outside of it.

    Raises:
        ValueError: For a number below 1, or more devices than there are.
        RuntimeError: If the CPU would have to be divided, and TensorFlow has
            begun to use it.

    Example:

    >>> strategy = keras_port.distribution.mirrored_strategy()
    >>> with strategy.scope():
    ...     model = build_perceptron()
    ...     model.compile(optimizer="sgd", loss=CourseCrossEntropy())
    """
    devices = chosen_devices(num_devices)
    # The reductions of other kinds fail on CPU devices: within
    # `steps_per_execution`, and with a second strategy in the process.
    on_cpu = tf.DeviceSpec.from_string(devices[0]).device_type == "CPU"
    reduction = tf.distribute.ReductionToOneDevice() if on_cpu else None
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=reduction)
