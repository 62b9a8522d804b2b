"""Images for two steps of a benchmark."""

from benchmarks.peers.work import Images
from benchmarks.peers.work import Mnist
from keras_port import datasets


def small_data(splits: datasets.Splits, count: int = 40) -> Mnist:
    """Returns the first images of each split, as the peers take them."""
    return Mnist(
        *(
            Images(split.images[:count], split.labels[:count])
            for split in splits
        )
    )
