"""An evaluation in the middle of training that disturbs nothing."""

from collections.abc import Iterator
import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import value_errors
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.datasets._mapped import is_mapped
from keras_port.losses import check_labels
from keras_port.training.checked_labels import are_integer_labels
from keras_port.training.checked_labels import integer_label_classes
from keras_port.training.evaluation_slices import MappedSlices
from keras_port.training.evaluation_slices import part_of
from keras_port.training.evaluation_slices import sliced
from keras_port.training.replicas import has_replicas
from keras_port.training.workers import workers_of

Batch = tuple[tf.Tensor, ...]


class Evaluator:
    """Evaluates a compiled model on fixed data, as often as you like.

    `keras.Model.evaluate` inside a callback of `fit` resets the metrics that
    the training is just adding to, so that the epoch's training accuracy
    becomes the validation one (tensorflow#42994, keras#16526). This evaluation
    runs the model's `test_step` over the data, in large slices, in a function
    that is built once, and puts the metrics back as they were. Weights, random
    states and the position in the training data are not touched.

    On several machines they share the evaluation, each with a part of the
    slices, and all get the same results to the bit.

    Args:
        model: A compiled `keras.Model`.
        data: What to evaluate on: an `ImageSplit`, whose images are given the
            shape of the model's inputs; arrays `(x, y)` or
            `(x, y, sample_weight)`; or a finite `tf.data.Dataset` of batches.
            What lies in a mapped file is read slice by slice.
        batch_size: Examples in one slice of an `ImageSplit` or of arrays. It
            changes speed and memory, not the results. Defaults to 2500.

    Raises:
        ValueError: If the model is not compiled, or the data is empty, of
            different lengths, endless, or has labels that are no classes.

    Example:

    >>> evaluation = Evaluator(model, splits.validation)
    >>> sorted(evaluation())
    ['accuracy', 'loss']
    """

    def __init__(
        self, model: keras.Model, data: Any, *, batch_size: int = 2500
    ) -> None:
        if not model.compiled:
            raise ValueError(
                "An evaluation needs a loss and metrics. Call "
                "`model.compile(optimizer=..., loss=..., metrics=...)` first."
            )
        if batch_size < 1:
            raise ValueError(
                "`batch_size` must be at least 1 example. "
                f"Received: batch_size={batch_size}"
            )
        self.model = model
        self._workers = workers_of(model)
        workers = self._workers.count if self._workers else 1
        self._batches = batches_of(data, model, batch_size, workers)
        self._scale = isinstance(data, ImageSplit)
        self._are_metrics_made = False
        # The batch dimension is open, so that the last, smaller slice does
        # not build the function again. Keras does not convert a `test_step` by
        # AutoGraph either.
        self._test_step = tf.function(
            self._run_test_step, reduce_retracing=True, autograph=False
        )

    def __call__(self) -> dict[str, float]:
        """Returns the loss and the metrics by name, over all of the data."""
        if self._workers is not None and not self._are_metrics_made:
            # Makes all metrics, also where this worker has no slice.
            self.metric_names()
        with kept_metrics(self.model), value_errors():
            self.model.reset_metrics()
            for batch in self._own_batches():
                self._test_step(batch)
            self._add_up()
            results = self.model.get_metrics_result()
        return {name: float(value) for name, value in results.items()}

    def metric_names(self) -> list[str]:
        """Returns the names of the results, by evaluating some examples."""
        batch = next(iter(self._batches))
        is_shared = self._workers is not None or has_replicas(self.model)
        with kept_metrics(self.model), value_errors():
            if is_shared or isinstance(self._batches, tf.data.Dataset):
                self._test_step(batch)
            else:
                # Eagerly: to build the function takes most of a second, which
                # the first step of a training need not wait for.
                few = smallest_batch(self.model)
                self._run_test_step(part_of(batch, slice(few)))
            self._are_metrics_made = True
            return list(self.model.get_metrics_result())

    def _own_batches(self) -> Any:
        """Returns the batches that this worker evaluates."""
        if self._workers is None:
            return self._batches
        count, index = self._workers.count, self._workers.index
        if isinstance(self._batches, tf.data.Dataset):
            return self._batches.shard(count, index)
        return self._batches[index::count]

    def _add_up(self) -> None:
        """Gives each worker the metrics of all."""
        if self._workers is None:
            return
        # Keras itself adds up the variables of metrics where they have parts.
        variables = self.model.metrics_variables
        sums = self._workers.sums([v.numpy() for v in variables])
        for variable, total in zip(variables, sums, strict=True):
            variable.assign(total)

    def _run_test_step(self, batch: Batch) -> None:
        if self._scale:
            images, *rest = batch
            batch = (scale_pixels(images), *rest)
        self.model.test_step(batch)


def smallest_batch(model: keras.Model) -> int:
    """Returns how many examples the model takes at the least."""
    inputs = getattr(model, "inputs", None) or []
    sizes = {tensor.shape[0] for tensor in inputs} - {None}
    return max(sizes, default=1)


@contextlib.contextmanager
def kept_metrics(model: keras.Model) -> Iterator[None]:
    """Puts the metrics' running values back at the end of the block."""
    # By name of the variable's object: a metric that is first used inside the
    # block has no variables before, and starts from its initial values after.
    before = {id(v): v.numpy() for v in model.metrics_variables}
    try:
        yield
    finally:
        for variable in model.metrics_variables:
            if id(variable) in before:
                variable.assign(before[id(variable)])
        new = [
            metric
            for metric in model.metrics
            if any(id(v) not in before for v in metric.variables)
        ]
        for metric in new:
            metric.reset_state()


def batches_of(
    data: Any, model: keras.Model, batch_size: int, workers: int = 1
) -> Any:
    """Returns what gives the batches of `data` anew at each iteration.

    Args:
        data: What to evaluate on.
        model: The model.
        batch_size: Examples in one slice at the most.
        workers: Number of workers, each of which should get a slice.
    """
    if isinstance(data, tf.data.Dataset):
        if data.cardinality() in (tf.data.INFINITE_CARDINALITY, 0):
            raise ValueError(
                "`data` must be a finite dataset with at least one batch. "
                f"Received: a dataset of cardinality {int(data.cardinality())} "
                "(-1 is endless). Use `dataset.take(n)`."
            )
        return data
    if isinstance(data, ImageSplit) and is_mapped(data.images):
        size = slice_size(len(data), batch_size, workers)
        return mapped_slices(data, model, size)
    arrays = data
    if isinstance(data, ImageSplit):
        arrays = split_arrays(data, model)
    if not isinstance(arrays, tuple) or len(arrays) not in (2, 3):
        raise ValueError(
            "`data` must be an ImageSplit, arrays (x, y) or "
            "(x, y, sample_weight), or a finite tf.data.Dataset. "
            f"Received: {type(data).__name__}"
        )
    lengths = {len(array) for array in tf.nest.flatten(arrays)}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "The arrays of `data` must have one length, of 1 or more. "
            f"Received: lengths {sorted(lengths)}"
        )
    check_targets(arrays[1], model)
    length = lengths.pop()
    return sliced(arrays, length, slice_size(length, batch_size, workers))


def slice_size(length: int, batch_size: int, workers: int) -> int:
    """Returns the size of a slice, so that each worker gets one to do."""
    return min(batch_size, -(-length // workers))


def mapped_slices(
    split: ImageSplit, model: keras.Model, size: int
) -> MappedSlices:
    """Returns slices of a split in a mapped file, none of them read yet."""
    # Says now whether the images fit the model.
    split_arrays(split[:1], model)
    check_targets(split.labels, model)
    # Shaped slice by slice: cropped images in another shape are a copy.
    return MappedSlices(
        lambda part: split_arrays(split[part], model),
        range(0, len(split), size),
        size,
    )


def split_arrays(
    split: ImageSplit, model: keras.Model
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images in the shape of the model's inputs, and labels."""
    images = split.images
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, tuple):
        pixels = int(np.prod(images.shape[1:]))
        if None in shape[1:] or int(np.prod(shape[1:])) != pixels:
            raise ValueError(
                f"The images have {pixels} pixels, shape {images.shape[1:]}, "
                f"but the model's inputs have shape {shape[1:]}."
            )
        images = images.reshape((-1, *shape[1:]))
    return images, split.labels.astype(np.int32)


def check_targets(targets: Any, model: keras.Model) -> None:
    """Raises if integer labels are no classes of the model."""
    num_classes = integer_label_classes(model)
    if num_classes is not None and are_integer_labels(
        np.shape(targets), num_classes
    ):
        check_labels(np.asarray(targets), num_classes)
