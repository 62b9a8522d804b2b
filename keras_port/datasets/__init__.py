"""Images as arrays, and batches as a pure function of (seed, step)."""

from keras_port.datasets._mapped import is_mapped as is_mapped
from keras_port.datasets._own_batches import MakeStacks as MakeStacks
from keras_port.datasets._own_batches import get_own_batches as get_own_batches
from keras_port.datasets.digit_picture import center_digit
from keras_port.datasets.digit_picture import read_digit
from keras_port.datasets.idx import read_idx
from keras_port.datasets.image_split import ImageSplit
from keras_port.datasets.mnist import Splits
from keras_port.datasets.mnist import load_mnist
from keras_port.datasets.pixels import scale_pixels
from keras_port.datasets.shuffled_batches import shuffled_batches

__all__ = [
    "ImageSplit",
    "Splits",
    "center_digit",
    "load_mnist",
    "read_digit",
    "read_idx",
    "scale_pixels",
    "shuffled_batches",
]
