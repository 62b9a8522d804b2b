"""The images as points, for the projector's page."""

import pathlib
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tensorboard.plugins import projector
import tensorflow as tf

from keras_port.callbacks.tensorboard import pictures
from keras_port.callbacks.tensorboard.layer_calls import observed_calls
from keras_port.callbacks.tensorboard.layers import weight_layers
from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.training.evaluator import split_arrays

# The page is slow with more points, and takes no larger sprite.
MAX_POINTS = 1000
TENSOR = "features.tsv"
LABELS = "labels.tsv"
SPRITE = "images.png"


def write_projector(
    model: keras.Model, split: ImageSplit, folder: pathlib.Path
) -> None:
    """Writes the features of images, their labels and their pictures.

    The features are what goes into the last layer with weights, one point for
    each of the first 1,000 images.

    Args:
        model: A model of images, built.
        split: The images.
        folder: Folder of a run that has event files.
    """
    part = split[:MAX_POINTS]
    features = features_of(model, part)
    height, width = part.images.shape[1:]
    with atomic_file(folder / TENSOR) as partial:
        np.savetxt(partial, features, fmt="%.5g", delimiter="\t")
    with atomic_file(folder / LABELS) as partial:
        np.savetxt(partial, part.labels, fmt="%d")
    with atomic_file(folder / SPRITE) as partial:
        image = pictures.sprite(part.images)[:, :, None]
        partial.write_bytes(tf.io.encode_png(255 - image).numpy())
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "features"
    embedding.tensor_path = TENSOR
    embedding.metadata_path = LABELS
    embedding.sprite.image_path = SPRITE
    embedding.sprite.single_image_dim.extend([width, height])
    projector.visualize_embeddings(str(folder), config)


def features_of(
    model: keras.Model, split: ImageSplit
) -> npt.NDArray[np.floating[Any]]:
    """Returns what goes into the last layer with weights, (n, features)."""
    _, last = weight_layers(model)[-1]
    images, _ = split_arrays(split, model)
    inputs: list[Any] = []
    with observed_calls([last], lambda _, x, __: inputs.append(x)):
        model(scale_pixels(tf.constant(images)), training=False)
    features = np.asarray(inputs[-1], np.float32)
    return features.reshape(len(features), -1)
