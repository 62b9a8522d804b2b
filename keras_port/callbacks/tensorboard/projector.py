"""Images as points on the page of the projector."""

import pathlib
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tensorboard.plugins import projector
import tensorflow as tf

from keras_port.callbacks.tensorboard import pictures
from keras_port.callbacks.tensorboard.layers import list_weight_layers
from keras_port.callbacks.tensorboard.layers import observe_calls
from keras_port.checkpoints import atomic_file
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.training import get_split_arrays
from keras_port.training import preserve_state

# The page is slow with more points, and accepts no larger sprite.
MAX_POINTS = 1000
TENSOR = "features.tsv"
LABELS = "labels.tsv"
SPRITE = "images.png"
# The name for which TensorBoard looks.
CONFIG = "projector_config.pbtxt"


def write_projector(
    model: keras.Model, split: ImageSplit, directory: pathlib.Path
) -> None:
    """Writes the features of images, their labels and their pictures.

    The features are the inputs of the last layer with weights, one point per
    image for the first 1,000 images.

    Args:
        model: A model of images, built.
        split: The images.
        directory: Directory of a run that has event files.
    """
    part = split[:MAX_POINTS]
    features = compute_features(model, part)
    height, width = part.images.shape[1:]
    with atomic_file(directory / TENSOR) as partial:
        np.savetxt(partial, features, fmt="%.5g", delimiter="\t")
    with atomic_file(directory / LABELS) as partial:
        np.savetxt(partial, part.labels, fmt="%d")
    with atomic_file(directory / SPRITE) as partial:
        image = pictures.join_images(part.images)[:, :, None]
        partial.write_bytes(tf.io.encode_png(255 - image).numpy())
    config = projector.ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "features"
    embedding.tensor_path = TENSOR
    embedding.metadata_path = LABELS
    embedding.sprite.image_path = SPRITE
    embedding.sprite.single_image_dim.extend([width, height])
    # As `projector.visualize_embeddings` does, but complete or absent.
    with atomic_file(directory / CONFIG) as partial:
        partial.write_text(str(config))


def compute_features(
    model: keras.Model, split: ImageSplit
) -> npt.NDArray[np.floating[Any]]:
    """Returns the inputs of the last layer with weights, (n, features)."""
    _, last = list_weight_layers(model)[-1]
    images, _ = get_split_arrays(split, model)
    inputs: list[Any] = []
    with (
        preserve_state(model),
        observe_calls([last], lambda _, x, __: inputs.append(x)),
    ):
        model(scale_pixels(tf.constant(images)), training=False)
    features = np.asarray(inputs[-1], np.float32)
    return features.reshape(len(features), -1)
