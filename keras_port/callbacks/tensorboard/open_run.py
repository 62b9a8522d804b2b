"""A run that is being written, from its first step until it is closed."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import pathlib
import time
from typing import TYPE_CHECKING
from typing import Any
import weakref

from absl import logging
import keras
import tensorflow as tf

from keras_port.callbacks._steps import Every
from keras_port.callbacks._steps import get_step
from keras_port.callbacks.tensorboard.graphs import write_layer_graph
from keras_port.callbacks.tensorboard.graphs import write_step_graph
from keras_port.callbacks.tensorboard.histograms import LayerHistograms
from keras_port.callbacks.tensorboard.own_summaries import OwnSummaries
from keras_port.callbacks.tensorboard.runs import TRAIN
from keras_port.callbacks.tensorboard.runs import RunWriters
from keras_port.callbacks.tensorboard.runs import find_prefix
from keras_port.callbacks.tensorboard.runs import get_fit_run
from keras_port.callbacks.tensorboard.runs import get_pages_run
from keras_port.callbacks.tensorboard.runs import get_run_name
from keras_port.callbacks.tensorboard.runs import list_prefixes
from keras_port.callbacks.tensorboard.step_scalars import StepScalars
from keras_port.datasets import ImageSplit
from keras_port.datasets import scale_pixels
from keras_port.training import flatten_results
from keras_port.training import get_split_arrays

if TYPE_CHECKING:
    from keras_port.callbacks.tensorboard.prediction_pages import (
        PredictionPages,
    )

# Images of a split whose gradients and activations the histograms show.
BATCH_SIZE = 100
# Values reach the disk at least so often, in seconds: a process may be killed.
FLUSH_INTERVAL = 1.0


class OpenRun:
    """Holds the open files of a run and everything that writes to them.

    Args:
        model: The model in training.
        log_dir: Directory that holds the directories of the runs.
        data: Data for pictures, histograms and graphs, or `None`.
        update_freq: Steps between two points of the curves.
        histogram_freq: Steps between two histograms, 0 for none.
        write_graph: Whether to write the graphs.
        profile_batch: First and last step of a profile, or `None`.
        tags: Names of curves that replace the names of the results.
        clock: Function that returns seconds.

    Attributes:
        scalars: Writes the curves of the training.
        profile: Records the profile, `None` without one.

    Raises:
        ValueError: If the data does not fit the model.
    """

    def __init__(
        self,
        model: keras.Model,
        log_dir: pathlib.Path,
        *,
        data: Any,
        update_freq: int,
        histogram_freq: int,
        write_graph: bool,
        profile_batch: tuple[int, int] | None,
        tags: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self.model = model
        self.log_dir = log_dir
        self.data = data
        self.tags = tags
        self._writers = RunWriters(log_dir)
        train = self._writers.get(TRAIN)
        self._first_step = get_step(model)
        self._graph_is_due = write_graph
        self.profile: StepProfile | None = None
        if profile_batch is not None:
            self.profile = StepProfile(log_dir / TRAIN, *profile_batch)
        self._histograms: LayerHistograms | None = None
        if histogram_freq:
            self._histograms = LayerHistograms(model, train, self.batch)
            self._histograms_due = Every(histogram_freq)
            self._histograms_due.restart(self._first_step)
        self._pages = self._make_pages()
        # After everything that may fail: from here on there is something to
        # close.
        self.scalars = StepScalars(
            # The finalizer below must not keep the model in memory.
            weakref.proxy(model),
            train,
            update_freq=update_freq,
            tags=tags,
            clock=clock,
        )
        self.summaries = OwnSummaries(
            model,
            train,
            update_freq=update_freq,
            log_dir=log_dir,
            on_error=call_weakly(self._save_after_error),
        )
        # Not the `clock`, which may be a test's.
        self._saved = time.monotonic()
        # Keras calls no callback when a training ends with an exception.
        self._finalizer = weakref.finalize(
            self,
            close_quietly,
            self.scalars,
            # They hold a function of the model, and so the model.
            call_weakly(self.summaries.close),
            self._writers,
        )

    @functools.cached_property
    def batch(self) -> tuple[Any, Any] | None:
        """Batch for the histograms and the graph, `None` without data."""
        return make_fixed_batch(self.model, self.data)

    def begin_call(self) -> None:
        """Prepares for the steps of one call of the training function."""
        self.write_graphs()
        self.scalars.before_step()
        self.summaries.before_call(get_step(self.model) + 1)
        if self.profile is not None:
            self.profile.before_step(get_step(self.model) + 1)

    def end_call(self, logs: Mapping[str, Any]) -> None:
        """Writes what is due after the steps of one call.

        Args:
            logs: Logs of the last step.
        """
        step = get_step(self.model)
        self.scalars.on_step(step)
        self.scalars.on_logs(step, logs)
        if self._histograms is not None:
            # From the first step on, so that the page is never empty.
            is_first = self._first_step == 0 and self._histograms.is_empty
            if self._histograms_due.is_due(step) or is_first:
                self._histograms.write(step)
        if time.monotonic() - self._saved >= FLUSH_INTERVAL:
            self.save()

    def write_graphs(self) -> None:
        """Writes the graphs of layers and step once, after the first call.

        Not earlier: then every layer, metric and slot has been built, and the
        first step does not have to wait for the graphs.
        """
        if not self._graph_is_due or get_step(self.model) <= self._first_step:
            return
        self._graph_is_due = False
        writer = self._writers.get(TRAIN)
        write_layer_graph(self.model, writer)
        write_step_graph(self.model, writer, self.batch)

    def write_results(self, step: int, results: Mapping[str, float]) -> None:
        """Writes the results of an evaluation to a run of their own.

        Args:
            step: Number of updates that the model has had.
            results: All results of one evaluation by name.
        """
        # First the curves of the training up to the same step, in whichever
        # order the callbacks are listed.
        self.scalars.on_step(step)
        self.scalars.flush()
        prefix = find_prefix(self.model, next(iter(results)))
        run = get_run_name(prefix)
        self._write_results(
            run,
            step,
            {
                name.removeprefix(f"{prefix}_"): value
                for name, value in results.items()
            },
        )
        if self._pages is not None and run == get_pages_run(self.model):
            self._pages.write(step)

    def write_validation(self, step: int, results: Mapping[str, Any]) -> None:
        """Writes the results of the `validation_data` of `fit`.

        Args:
            step: Number of updates that the model has had.
            results: The results by name, without a prefix.
        """
        self._write_results(get_fit_run(self.model), step, results)
        if self._pages is not None and not list_prefixes(self.model):
            self._pages.write(step)

    def _write_results(
        self, run: str, step: int, results: Mapping[str, Any]
    ) -> None:
        with self._writers.get(run).as_default(step=step):
            for tag, value in flatten_results(results).items():
                tf.summary.scalar(self.tags.get(tag, tag), value)

    def write_hyperparameters(
        self, values: Mapping[str, Any], results: Sequence[str]
    ) -> None:
        """Writes the hyper-parameters.

        Args:
            values: Hyper-parameters by name.
            results: Names of the results of all evaluations.
        """
        # Imports TensorBoard, which is slow.
        from keras_port.callbacks.tensorboard import hyperparameters

        run, curves = hyperparameters.find_result_curves(
            self.model, results, self.tags
        )
        hyperparameters.write_hyperparameters(
            self._writers.get(run), values, curves
        )

    def write_projector(self) -> None:
        """Writes the points of the projector, if there are images."""
        if self._pages is None:
            return
        from keras_port.callbacks.tensorboard import projector

        directory = self.log_dir / get_pages_run(self.model)
        projector.write_projector(self.model, self._pages.split, directory)

    def flush(self) -> None:
        """Writes everything that is known to disk."""
        self.scalars.flush()
        self._writers.flush()
        self._saved = time.monotonic()

    def save(self) -> None:
        """Writes the steps so far to disk, without a point of the speed."""
        self.scalars.write_steps()
        self._writers.flush()
        self._saved = time.monotonic()

    def _save_after_error(self) -> None:
        self.scalars.end_call_early(get_step(self.model))
        self.save()

    def close(self) -> None:
        """Writes the rest, and closes the files."""
        if self.profile is not None:
            self.profile.end()
        if found := self._finalizer.detach():
            _, _, arguments, _ = found
            close_run(*arguments)

    def _make_pages(self) -> "PredictionPages | None":
        if not isinstance(self.data, ImageSplit):
            return None
        # Imports Pillow, which is slow.
        from keras_port.callbacks.tensorboard import prediction_pages

        writer = self._writers.get(get_pages_run(self.model))
        return prediction_pages.PredictionPages(self.model, writer, self.data)


class StepProfile:
    """Records what the devices do, from one step to another.

    Args:
        directory: Directory of the run with which the profile is shown.
        first: First step of the profile, counted from 1.
        last: Last step of the profile.

    Attributes:
        is_running: Whether the profile is being recorded.
    """

    def __init__(self, directory: pathlib.Path, first: int, last: int) -> None:
        self.directory = directory
        self.first = first
        self.last = last
        self.is_running = False

    def before_step(self, step: int) -> None:
        """Starts or ends the profile, depending on the step that begins."""
        if not self.is_running and self.first <= step <= self.last:
            tf.profiler.experimental.start(str(self.directory))
            self.is_running = True
        elif step > self.last:
            self.end()

    def end(self) -> None:
        """Writes the profile, if it is being recorded."""
        if self.is_running:
            self.is_running = False
            tf.profiler.experimental.stop()
            logging.info("A profile was written to %s.", self.directory)


def make_fixed_batch(model: keras.Model, data: Any) -> tuple[Any, Any] | None:
    """Returns inputs and targets of one batch, or `None` without data.

    Args:
        model: The model that receives the batch.
        data: An `ImageSplit`, of which the first 100 images are used, or
            arrays `(x, y)`, which are used unchanged.
    """
    if data is None:
        return None
    if isinstance(data, ImageSplit):
        images, labels = get_split_arrays(data[:BATCH_SIZE], model)
        return scale_pixels(tf.constant(images)), tf.constant(labels)
    x, y = tf.nest.map_structure(tf.convert_to_tensor, data)
    return x, y


def close_run(
    scalars: StepScalars,
    close_summaries: Callable[[], None],
    writers: RunWriters,
) -> None:
    """Writes the rest, and closes the files."""
    # The garbage collector may call this while a graph is being built. Outside
    # of `init_scope` closing would become an operation of that graph.
    with tf.init_scope():
        scalars.close()
        close_summaries()
        writers.close()


def close_quietly(
    scalars: StepScalars,
    close_summaries: Callable[[], None],
    writers: RunWriters,
) -> None:
    """Closes the files at the end of the process, which cannot wait for room.

    The exception that ended the training has said that the disk is full.
    """
    try:
        close_run(scalars, close_summaries, writers)
    except tf.errors.OpError as error:
        logging.warning(
            "The last curves in %s are lost: %s", writers.log_dir, error.message
        )


def call_weakly(method: Callable[[], None]) -> Callable[[], None]:
    """Returns a function that calls a method unless its object is gone."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        bound = reference()
        if bound is not None:
            bound()

    return call
