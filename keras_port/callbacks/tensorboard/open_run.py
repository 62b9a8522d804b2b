"""A run that is being written, from its first step until it is closed."""

from collections.abc import Callable
from collections.abc import Mapping
import functools
import pathlib
from typing import Any
import weakref

import keras
import tensorflow as tf

from keras_port.callbacks.tensorboard.fixed_batch import fixed_batch
from keras_port.callbacks.tensorboard.graphs import write_layer_graph
from keras_port.callbacks.tensorboard.graphs import write_step_graph
from keras_port.callbacks.tensorboard.layer_histograms import LayerHistograms
from keras_port.callbacks.tensorboard.run_names import TRAIN
from keras_port.callbacks.tensorboard.run_names import pages_run
from keras_port.callbacks.tensorboard.run_names import run_of
from keras_port.callbacks.tensorboard.run_names import source_of
from keras_port.callbacks.tensorboard.run_writers import RunWriters
from keras_port.callbacks.tensorboard.step_scalars import StepScalars
from keras_port.datasets import ImageSplit


class OpenRun:
    """Holds the open files of a run, and all that writes into them.

    Args:
        model: The model in training.
        log_dir: Folder that holds the runs' folders.
        data: What pictures, histograms and graphs look at, or `None`.
        update_freq: Steps between two points of the curves.
        histogram_freq: Steps between two histograms, 0 for none.
        tags: Names of curves in the place of the results' own.
        clock: Function that returns seconds.

    Attributes:
        writers: The writers of the folders.
        scalars: Writes the curves of the training.
        histograms: Writes the histograms, `None` without any.
        pages: Writes the pages with pictures, `None` without any.

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
        tags: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self.model = model
        self.log_dir = log_dir
        self.data = data
        self.tags = tags
        self.writers = RunWriters(log_dir)
        train = self.writers.get(TRAIN)
        self.histograms: LayerHistograms | None = None
        if histogram_freq:
            self.histograms = LayerHistograms(model, train, self.batch)
        self.pages = self._make_pages()
        # Behind all that may fail: from here on there is something to close.
        self.scalars = StepScalars(
            # The finalizer below must not keep the model in memory.
            weakref.proxy(model),
            train,
            update_freq=update_freq,
            tags=tags,
            clock=clock,
        )
        # Keras tells no callback of a training that ends in an exception.
        self._finalizer = weakref.finalize(
            self, close_run, self.scalars, self.writers
        )

    @functools.cached_property
    def batch(self) -> tuple[Any, Any] | None:
        """The batch that histograms and graph look at, `None` without data."""
        return fixed_batch(self.model, self.data)

    def write_graphs(self) -> None:
        """Writes the graphs of the layers and of a training step."""
        writer = self.writers.get(TRAIN)
        write_layer_graph(self.model, writer)
        write_step_graph(self.model, writer, self.batch)

    def write_results(self, step: int, results: Mapping[str, float]) -> None:
        """Writes the results of an evaluation into a run of their own.

        Args:
            step: Updates that the model has had.
            results: All of one evaluation, by name.
        """
        # Both curves to the same step, whoever stands first in the list.
        self.scalars.on_step(step)
        self.scalars.flush()
        source = source_of(self.model, next(iter(results)))
        run = run_of(source)
        with self.writers.get(run).as_default(step=step):
            for name, value in results.items():
                tag = name.removeprefix(f"{source}_")
                tf.summary.scalar(self.tags.get(tag, tag), value)
        if self.pages is not None and run == pages_run(self.model):
            self.pages.write(step)

    def write_projector(self) -> None:
        """Writes the points of the projector, if there are images."""
        if self.pages is None:
            return
        from keras_port.callbacks.tensorboard import projector

        folder = self.log_dir / pages_run(self.model)
        projector.write_projector(self.model, self.pages.split, folder)

    def flush(self) -> None:
        """Puts all that is known on the disk."""
        self.scalars.flush()
        self.writers.flush()

    def close(self) -> None:
        """Writes what is still kept, and closes the files."""
        self._finalizer()

    def _make_pages(self) -> Any:
        if not isinstance(self.data, ImageSplit):
            return None
        # Draws with Pillow, which would cost every import its time.
        from keras_port.callbacks.tensorboard import prediction_pages

        writer = self.writers.get(pages_run(self.model))
        return prediction_pages.PredictionPages(self.model, writer, self.data)


def close_run(scalars: StepScalars, writers: RunWriters) -> None:
    """Writes what is still kept, and closes the files."""
    # The garbage collector may come while a graph is being built, which would
    # get the closing as an operation of its own, of a writer that is gone.
    with tf.init_scope():
        scalars.close()
        writers.close()
