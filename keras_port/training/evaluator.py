"""An evaluation during training that does not affect the training."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_port._support import check_integer
from keras_port._support import get_global_generator_state
from keras_port._support import list_untracked_variables
from keras_port._support import value_errors
from keras_port.datasets import ImageSplit
from keras_port.datasets import is_mapped
from keras_port.datasets import scale_pixels
from keras_port.training.fit_checks import are_integer_labels
from keras_port.training.fit_checks import get_label_range
from keras_port.training.flat_results import flatten_results
from keras_port.training.label_form import list_unbuilt
from keras_port.training.label_form import match_label_form
from keras_port.training.sharing import get_workers
from keras_port.training.sharing import has_replicas

Batch = tuple[tf.Tensor, ...]
# Shapes of batches for which an evaluation is traced; more share one graph.
MAX_SHAPES = 4


class Evaluator:
    """Evaluates a compiled model on fixed data, as often as you like.

    `keras.Model.evaluate` in a callback of `fit` resets the metrics that the
    training is adding to, so the epoch's training accuracy becomes the
    validation accuracy (tensorflow#42994, keras#16526). This evaluation runs
    the model's `test_step` over the data in large slices, in a function that
    is traced once, and then restores the metrics and all other state that it
    has changed, such as the state of a random generator or of a stateful
    layer. The results are those of `keras.Model.evaluate`.

    Several machines share the evaluation: each of them evaluates some of the
    slices, and all get the same results, bit for bit.

    Args:
        model: A compiled `keras.Model`.
        data: Data to evaluate on: an `ImageSplit`, whose images get the shape
            of the model's inputs; arrays `(x, y)` or `(x, y, sample_weight)`;
            or batches, as a finite `tf.data.Dataset` or
            `keras.utils.PyDataset`. Mapped files are read slice by slice.
        batch_size: Number of examples in a slice of an `ImageSplit` or of
            arrays. It changes speed and memory, not the results. Defaults to
            2500.

    Raises:
        ValueError: If the model is not compiled, or the data is empty,
            endless, has different lengths, or labels that are not classes.

    Example:

    >>> evaluator = Evaluator(model, splits.validation)
    >>> sorted(evaluator.evaluate())
    ['accuracy', 'loss']
    """

    def __init__(
        self, model: keras.Model, data: Any, *, batch_size: int = 2500
    ) -> None:
        if not model.compiled:
            raise ValueError(
                "`Evaluator` needs a model with a loss and metrics. Call "
                "`model.compile(optimizer=..., loss=..., metrics=...)` first."
            )
        check_integer("batch_size", batch_size, note=", in examples")
        self.model = model
        self._workers = get_workers(model)
        workers = self._workers.count if self._workers else 1
        self._batches = make_batches(data, model, batch_size, workers)
        self._scale = isinstance(data, ImageSplit)
        # Found once: that takes longer than a small evaluation.
        self._generator = get_global_generator_state(model)
        self._untracked: list[Any] | None = None
        self._are_metrics_made = False
        self._test_step = self._make_test_step()

    def evaluate(self) -> dict[str, float]:
        """Returns the loss and the metrics by name, over all the data.

        A metric with several values has several results: `f1_score_0`,
        `f1_score_1` and so on.

        Raises:
            ValueError: If several machines evaluate a model with a `test_step`
                whose results are not its metrics.
        """
        with self._preserve_state(), value_errors():
            if not self._are_metrics_made:
                self.build_metrics()
            self.model.reset_metrics()
            logs: Any = None
            for batch in self._own_batches():
                logs = self._test_step(batch)
            self._sum_over_workers()
            return flatten_results(self._choose_results(logs))

    def metric_names(self) -> list[str]:
        """Returns the names of the results, by evaluating a few examples."""
        unbuilt = list_unbuilt(self.model)
        with self._preserve_state(), value_errors():
            logs = self._evaluate_few()
            names = list(flatten_results(self._choose_results(logs)))
        if unbuilt:
            # Keras chooses the metric for "accuracy" by the first labels. They
            # must be those of the training: the labels of an evaluation may be
            # integers where those of the training are one-hot.
            for metric in unbuilt:
                metric.built = False
            self._test_step = self._make_test_step()
        return names

    def build_metrics(self) -> None:
        """Creates all metrics, even if this worker has no slice."""
        # Before the function is traced: to create variables in it takes a
        # second trace.
        if self._workers is not None or list_unbuilt(self.model):
            with self._preserve_state():
                self._evaluate_few()
        self._are_metrics_made = True

    def _preserve_state(self) -> contextlib.AbstractContextManager[None]:
        if self._untracked is None and self.model.built:
            self._untracked = list_untracked_variables(self.model)
        return preserve_state(self.model, self._generator, self._untracked)

    def _evaluate_few(self) -> Any:
        """Returns the results of `test_step` on a few examples."""
        batch = next(iter(self._batches))
        is_shared = self._workers is not None or has_replicas(self.model)
        if is_shared or isinstance(self._batches, tf.data.Dataset):
            return self._test_step(batch)
        # Eagerly: tracing the function takes most of a second, and the first
        # step of a training waits for this.
        few = smallest_batch(self.model)
        return self._run_test_step(take_part(batch, slice(few)))

    def _make_test_step(self) -> Callable[[Batch], Any]:
        if self.model.run_eagerly:
            return self._run_test_step
        # In a graph for all sizes, Keras counts the loss of an output once per
        # batch, and not once per example. So every size is traced, unless there
        # are many, as of sentences. Keras does not use AutoGraph for a
        # `test_step` either.
        of_one_shape = tf.function(self._run_test_step, autograph=False)
        of_any_shape = tf.function(
            self._run_test_step, reduce_retracing=True, autograph=False
        )
        shapes: set[tuple[Any, ...]] = set()

        def run(batch: Batch) -> Any:
            parts = tf.nest.flatten(batch)
            shapes.add(tuple(str(getattr(p, "shape", None)) for p in parts))
            is_one = len(shapes) <= MAX_SHAPES
            return of_one_shape(batch) if is_one else of_any_shape(batch)

        return run

    def _choose_results(self, logs: Any) -> dict[str, Any]:
        """Returns what `keras.Model.evaluate` would return.

        Args:
            logs: Result of the last `test_step`.
        """
        results: dict[str, Any] = self.model.get_metrics_result()
        if logs is None or set(logs) == set(results):
            return results
        # A `test_step` of one's own has results of its own, which Keras takes
        # from the last batch.
        if self._workers is not None:
            raise ValueError(
                "On several machines the results of `test_step` must be the "
                f"model's metrics, {sorted(results)}, to be added up. "
                f"Received: {sorted(logs)}"
            )
        return dict(logs)

    def _own_batches(self) -> Any:
        """Returns the batches that this worker evaluates."""
        if self._workers is None:
            return self._batches
        count, index = self._workers.count, self._workers.index
        if isinstance(self._batches, tf.data.Dataset):
            return self._batches.shard(count, index)
        return self._batches[index::count]

    def _sum_over_workers(self) -> None:
        """Gives every worker the metrics of all workers."""
        if self._workers is None:
            return
        # Keras also adds up the variables of a metric that has parts.
        variables = self.model.metrics_variables
        sums = self._workers.sum([v.numpy() for v in variables])
        for variable, total in zip(variables, sums, strict=True):
            variable.assign(total)

    def _run_test_step(self, batch: Batch) -> Any:
        if self._scale:
            images, *rest = batch
            batch = (scale_pixels(images), *rest)
        if isinstance(batch, tuple) and len(batch) > 1:
            inputs, labels, *weights = batch
            labels = match_label_form(self.model, labels)
            batch = (inputs, labels, *weights)
        return self.model.test_step(batch)


def smallest_batch(model: keras.Model) -> int:
    """Returns the smallest number of examples that the model accepts."""
    inputs = getattr(model, "inputs", None) or []
    sizes = {tensor.shape[0] for tensor in inputs} - {None}
    return max(sizes, default=1)


@contextlib.contextmanager
def preserve_state(
    model: keras.Model,
    generator: Sequence[tf.Variable] | None = None,
    untracked: Sequence[Any] | None = None,
) -> Iterator[None]:
    """Restores all state that a forward pass changes, at the end of the block.

    These are the running metrics, the states of random generators, and the
    state of layers. A metric that is used for the first time inside the block
    starts from its initial values afterwards.

    Args:
        model: The model.
        generator: The result of `get_global_generator_state`, if that is
            known. Defaults to `None`.
        untracked: The result of `list_untracked_variables`, if that is known.
            Defaults to `None`.
    """
    if generator is None:
        generator = get_global_generator_state(model)
    if untracked is None:
        untracked = list_untracked_variables(model)
    variables = [*list_state(model, untracked), *generator]
    # Not copies: while a tensor holds the memory of a variable, TensorFlow
    # gives the variable new memory when it changes.
    before = [tf.identity(variable) for variable in variables]
    known = {id(v) for v in model.metrics_variables}
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        for metric in model.metrics:
            if any(id(v) not in known for v in metric.variables):
                metric.reset_state()


def build_metrics(model: keras.Model, element_spec: Any) -> None:
    """Creates the metrics of `compile` before the first training step.

    Keras creates them in that step, by the labels it sees. These are labels of
    the same form, all of them 0.

    Args:
        model: A compiled model.
        element_spec: That of the training batches. Without effect if it does
            not describe single tensors.
    """
    parts = tf.nest.flatten(element_spec)
    known = (tf.TensorSpec, tf.OptionalSpec)
    if not list_unbuilt(model) or not all(isinstance(p, known) for p in parts):
        return
    examples = smallest_batch(model)

    def make_zeros(spec: Any) -> tf.Tensor | None:
        if isinstance(spec, tf.OptionalSpec) or spec.shape.rank is None:
            return None
        if not spec.shape.rank:
            return tf.zeros((), spec.dtype)
        first, *rest = spec.shape.as_list()
        shape = [first or examples, *(size or 1 for size in rest)]
        return tf.zeros(shape, spec.dtype)

    batch = tf.nest.map_structure(make_zeros, element_spec)
    test_step = model.test_step
    if has_replicas(model):
        test_step = tf.function(test_step, autograph=False)
    with preserve_state(model):
        test_step(batch)


def list_state(
    model: keras.Model, untracked: Sequence[Any]
) -> list[tf.Variable]:
    """Returns the variables of metrics, generators and stateful layers."""
    variables = [
        *model.non_trainable_variables,
        *model.metrics_variables,
        *untracked,
    ]
    raw = {
        id(variable): variable.value
        if isinstance(variable, keras.Variable)
        else variable
        for variable in variables
    }
    # On several devices every one has a copy, and a generator's may differ.
    return [
        copy for one in raw.values() for copy in getattr(one, "values", [one])
    ]


def make_batches(
    data: Any, model: keras.Model, batch_size: int, workers: int = 1
) -> Any:
    """Returns the batches of `data`, which may be iterated several times.

    Args:
        data: Data to evaluate on.
        model: The model.
        batch_size: Largest number of examples in a slice.
        workers: Number of workers, which should all get a slice.
    """
    if isinstance(data, tf.data.Dataset):
        if data.cardinality() in (tf.data.INFINITE_CARDINALITY, 0):
            raise ValueError(
                "`data` must be a finite dataset with at least one batch. "
                f"Received: a dataset of cardinality {int(data.cardinality())} "
                "(-1 is endless). Use `dataset.take(n)`."
            )
        return data
    if isinstance(data, keras.utils.PyDataset):
        return make_dataset_batches(data)
    if isinstance(data, ImageSplit) and is_mapped(data.images):
        size = slice_size(len(data), batch_size, workers)
        return make_mapped_slices(data, model, size)
    arrays = data
    if isinstance(data, ImageSplit):
        arrays = get_split_arrays(data, model)
    if not isinstance(arrays, tuple) or len(arrays) not in (2, 3):
        raise ValueError(
            "`data` must be an ImageSplit, arrays (x, y) or "
            "(x, y, sample_weight), a finite tf.data.Dataset, or a "
            f"keras.utils.PyDataset. Received: {type(data).__name__}"
        )
    length = get_length(arrays)
    check_targets(arrays[1], model)
    return slice_arrays(arrays, length, slice_size(length, batch_size, workers))


def make_dataset_batches(data: keras.utils.PyDataset) -> Sequence[Any]:
    """Returns the batches of a `PyDataset`, which may be iterated often."""
    count = data.num_batches
    if not count:
        raise ValueError(
            "`data` must be a finite dataset with at least one batch. "
            f"Received: a {type(data).__name__} with num_batches={count}"
        )

    def take(part: slice) -> Any:
        batch = data[part.start]
        # As Keras does: an array or a dictionary alone are the inputs.
        return tuple(batch) if isinstance(batch, list | tuple) else (batch,)

    return MappedSlices(take, range(count), size=1)


def get_length(arrays: Any) -> int:
    """Returns the number of examples in arrays, perhaps nested.

    Raises:
        ValueError: If a part is not an array, or if lengths differ.
    """
    parts = [one for one in tf.nest.flatten(arrays) if one is not None]
    for part in parts:
        if not len(getattr(part, "shape", ())) or isinstance(
            part, tf.SparseTensor
        ):
            raise ValueError(
                "`data` must hold arrays or dense tensors, whose first axis "
                f"counts the examples. Received: a {type(part).__name__}. Use "
                "`np.asarray` on lists and `tf.sparse.to_dense` on sparse "
                "tensors."
            )
    lengths = {int(part.shape[0]) for part in parts}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "The arrays of `data` must have one length, of 1 or more. "
            f"Received: lengths {sorted(lengths)}"
        )
    return lengths.pop()


def slice_size(length: int, batch_size: int, workers: int) -> int:
    """Returns the size of a slice, so that every worker gets one."""
    return min(batch_size, -(-length // workers))


def make_mapped_slices(
    split: ImageSplit, model: keras.Model, size: int
) -> Sequence[Any]:
    """Returns slices of a split in a mapped file, to be read when needed."""
    # Raises an error now if the images do not fit the model.
    get_split_arrays(split[:1], model)
    check_targets(split.labels, model)
    # Reshaped slice by slice, because reshaping may copy.
    return MappedSlices(
        lambda part: get_split_arrays(split[part], model),
        range(0, len(split), size),
        size,
    )


def get_split_arrays(
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
    """Raises `ValueError` if integer labels are not classes of the model."""
    labels = get_label_range(model)
    if labels is not None and are_integer_labels(
        np.shape(targets), labels.num_classes
    ):
        labels.check(targets)


class MappedSlices(Sequence[Any]):
    """Slices of data in a mapped file, which are read when they are used.

    Args:
        take: Returns the arrays of a part of the data.
        starts: Positions at which the slices begin.
        size: Largest number of examples in a slice.
    """

    def __init__(
        self, take: Callable[[slice], Any], starts: range, size: int
    ) -> None:
        self._take = take
        self._starts = starts
        self._size = size

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return MappedSlices(self._take, self._starts[index], self._size)
        start = self._starts[index]
        return to_tensors(self._take(slice(start, start + self._size)))


def slice_arrays(arrays: Any, length: int, size: int) -> Sequence[Any]:
    """Returns slices of the arrays as tensors.

    They are created once, unless the arrays are in a mapped file: then a slice
    is read every time it is used.

    Args:
        arrays: The arrays, perhaps nested.
        length: Number of examples in the arrays.
        size: Largest number of examples in a slice.
    """
    starts = range(0, length, size)
    if any(is_mapped(array) for array in tf.nest.flatten(arrays)):
        return MappedSlices(lambda part: take_part(arrays, part), starts, size)
    tensors = to_tensors(arrays)
    return [take_part(tensors, slice(at, at + size)) for at in starts]


def take_part(arrays: Any, part: slice) -> Any:
    """Returns a part of every array or tensor."""
    return tf.nest.map_structure(
        lambda array: None if array is None else array[part], arrays
    )


def to_tensors(arrays: Any) -> Any:
    """Returns the arrays as tensors, floats in Keras' default dtype.

    `fit` and `evaluate` do the same: NumPy's default, float64, would not fit
    the outputs of the model.
    """

    def to_tensor(array: Any) -> tf.Tensor | None:
        if array is None:  # Sample weights, for example.
            return None
        tensor = tf.convert_to_tensor(array)
        if tensor.dtype.is_floating:
            tensor = tf.cast(tensor, keras.config.floatx())
        return tensor

    return tf.nest.map_structure(to_tensor, arrays)
