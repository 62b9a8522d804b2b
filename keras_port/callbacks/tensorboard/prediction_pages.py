"""Pages that show the predictions for fixed images at every evaluation."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from tensorboard.summary import v1 as summary_v1
import tensorflow as tf

from keras_port.callbacks.tensorboard import pictures
from keras_port.callbacks.tensorboard.layers import list_weight_layers
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.training import get_split_arrays
from keras_port.training import preserve_state

# Images in one call of the model.
SLICE = 500
MISCLASSIFIED = 12


class PredictionPages:
    """Writes pictures and precision-recall curves of predictions.

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
        self._images, _ = get_split_arrays(split, model)
        self._predict = tf.function(
            self._compute_slice, reduce_retracing=True, autograph=False
        )

    def write(self, step: int) -> None:
        """Writes the pages of the model as it is now."""
        scores = self.compute_scores()
        predicted = scores.argmax(axis=1)
        split = self.split
        wrong = pictures.draw_misclassified(
            split.images, split.labels, predicted, MISCLASSIFIED
        )
        counts = pictures.count_confusions(
            split.labels, predicted, scores.shape[1]
        )
        with self.writer.as_default(step=step):
            if len(wrong):
                tf.summary.image("misclassified", wrong, max_outputs=len(wrong))
            tf.summary.image(
                "confusion_matrix", pictures.draw_confusions(counts)
            )
            self._write_filters()
            self._write_pr_curves(scores, step)

    def compute_scores(self) -> npt.NDArray[np.float64]:
        """Returns the model's outputs for all images, (n, classes)."""
        slices = range(0, len(self._images), SLICE)
        with preserve_state(self.model):
            scores = [
                np.asarray(self._predict(self._images[at : at + SLICE]))
                for at in slices
            ]
        return np.concatenate(scores).astype(np.float64)

    def _compute_slice(self, images: tf.Tensor) -> tf.Tensor:
        return self.model(scale_pixels(images), training=False)

    def _write_filters(self) -> None:
        for name, layer in list_weight_layers(self.model):
            if isinstance(layer, keras.layers.Conv2D):
                kernel = np.asarray(layer.kernel, np.float32)
                picture = pictures.draw_filters(kernel)
                tf.summary.image(f"{name}/filters", picture)
                return

    def _write_pr_curves(self, scores: Any, step: int) -> None:
        probabilities = as_probabilities(scores)
        for number in range(scores.shape[1]):
            # tf.summary cannot write this page.
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
    """Returns scores as probabilities, and applies a softmax to logits."""
    if scores.min() >= 0 and scores.max() <= 1 + 1e-6:
        return np.minimum(scores, 1)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
