"""What the network says of fixed images, at each validation."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tensorboard.summary import v1 as summary_v1
import tensorflow as tf

from keras_port.callbacks.tensorboard import pictures
from keras_port.callbacks.tensorboard.layers import weight_layers
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.training.evaluator import split_arrays

# Predictions are made of so many images at once.
SLICE = 500
MISCLASSIFIED = 12


class PredictionPages:
    """Writes pictures and precision-recall curves of a split's predictions.

    Args:
        model: A classifier of images, with one score per class.
        writer: Writer of the `validation` run.
        split: The images.
    """

    def __init__(
        self,
        model: keras.Model,
        writer: tf.summary.SummaryWriter,
        split: ImageSplit,
    ) -> None:
        self.model = model
        self.writer = writer
        self.split = split
        self._images, _ = split_arrays(split, model)
        self._predict = tf.function(
            self._scores, reduce_retracing=True, autograph=False
        )

    def write(self, step: int) -> None:
        """Writes the pages of the model as it is now."""
        scores = self.scores()
        predicted = scores.argmax(axis=1)
        split = self.split
        wrong = pictures.misclassified_images(
            split.images, split.labels, predicted, MISCLASSIFIED
        )
        counts = pictures.confusion_matrix(
            split.labels, predicted, scores.shape[1]
        )
        with self.writer.as_default(step=step):
            if len(wrong):
                tf.summary.image("misclassified", wrong, max_outputs=len(wrong))
            tf.summary.image(
                "confusion_matrix", pictures.confusion_image(counts)
            )
            self._write_filters()
            self._write_pr_curves(scores, step)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns the model's outputs for all images, (n, classes)."""
        slices = range(0, len(self._images), SLICE)
        return np.concatenate(
            [
                np.asarray(self._predict(self._images[at : at + SLICE]))
                for at in slices
            ]
        ).astype(np.float64)

    def _scores(self, images: tf.Tensor) -> tf.Tensor:
        return self.model(scale_pixels(images), training=False)

    def _write_filters(self) -> None:
        for name, layer in weight_layers(self.model):
            if isinstance(layer, keras.layers.Conv2D):
                kernel = np.asarray(layer.kernel, np.float32)
                images = pictures.filter_images(kernel)
                tf.summary.image(
                    f"{name}/filters",
                    images,
                    max_outputs=len(images),
                )
                return

    def _write_pr_curves(self, scores: Any, step: int) -> None:
        probabilities = as_probabilities(scores)
        for number in range(scores.shape[1]):
            # The page has no counterpart in tf.summary.
            summary = summary_v1.pr_curve_pb(
                f"pr_curves/class_{number}",
                labels=self.split.labels == number,
                predictions=probabilities[:, number],
                num_thresholds=101,
            )
            tf.summary.experimental.write_raw_pb(
                summary.SerializeToString(), step=step
            )


def as_probabilities(scores: npt.NDArray[np.float64]) -> Any:
    """Returns scores as probabilities; logits go through a softmax."""
    if scores.min() >= 0 and scores.max() <= 1 + 1e-6:
        return np.minimum(scores, 1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
