"""A Keras model whose `fit` looks at the labels and keeps the true loss."""

from typing import Any

import keras
import tensorflow as tf

from keras_port._support import value_errors
from keras_port.training.checked_labels import checked_labels
from keras_port.training.checked_labels import integer_label_classes
from keras_port.training.replicas import check_outside_of_scope
from keras_port.training.workers import lost_worker_errors


class CheckedFitModel(keras.Model):  # type: ignore[misc]
    """Refuses labels that are no classes, and logs no loss that nobody took."""

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns the metrics' running values by name.

        At the end of an epoch Keras puts these in the place of what
        `train_step` returned (keras#14705). A `train_step` that computes a
        loss of its own leaves the `loss` metric empty, and 0.0 would take the
        place of the true value. So an empty `loss` is left out.
        """
        results: dict[str, Any] = super().get_metrics_result()
        if tf.executing_eagerly() and "loss" in results:
            tracker = next(m for m in self.metrics if m.name == "loss")
            if not float(tracker.count.numpy()):
                del results["loss"]
        return results

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Trains as `keras.Model.fit` does, with labels looked at first.

        Args:
            x: As for `keras.Model.fit`. Defaults to `None`.
            y: As for `keras.Model.fit`. Defaults to `None`.
            **kwargs: As for `keras.Model.fit`.

        Returns:
            The `keras.callbacks.History` of the training.

        Raises:
            ValueError: If an integer label is no class of the model: in
                arrays and `shuffled_batches` before the first step, in another
                dataset before the step that reads it.
            RuntimeError: On several machines, if one of them is lost.
        """
        check_outside_of_scope(self)
        if isinstance(x, tf.data.Dataset):
            # Keras warns that it cannot shuffle a dataset; nobody asked it to.
            kwargs.setdefault("shuffle", False)
        num_classes = integer_label_classes(self)
        if num_classes is not None:
            x = checked_labels(x, y, num_classes)
        with value_errors(), lost_worker_errors(self):
            return super().fit(x, y, **kwargs)
