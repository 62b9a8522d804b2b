"""TensorFlow 1's Adam."""

from keras_port.optimizers.adam import Adam

__all__ = ["Adam"]


def __dir__() -> list[str]:
    """Lists the public names, for completion."""
    return __all__
