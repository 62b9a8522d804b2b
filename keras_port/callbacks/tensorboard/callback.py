"""The training as TensorBoard shows it."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import pathlib
import time
from typing import Any
import weakref

from absl import logging
import tensorflow as tf

from keras_port._arguments import check_integer
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.evaluation_listener import channel_of
from keras_port.callbacks.tensorboard.arguments import check_data
from keras_port.callbacks.tensorboard.arguments import check_hparams
from keras_port.callbacks.tensorboard.arguments import check_profile
from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import keep_steps
from keras_port.callbacks.tensorboard.event_files import last_step
from keras_port.callbacks.tensorboard.fixed_batch import fixed_batch
from keras_port.callbacks.tensorboard.graphs import write_layer_graph
from keras_port.callbacks.tensorboard.graphs import write_step_graph
from keras_port.callbacks.tensorboard.layer_histograms import LayerHistograms
from keras_port.callbacks.tensorboard.run_writers import RunWriters
from keras_port.callbacks.tensorboard.step_scalars import StepScalars
from keras_port.checkpoints.writable_folder import make_writable_folder
from keras_port.datasets import ImageSplit
from keras_port.training.workers import writes_files

TRAIN = "train"
VALIDATION = "validation"


class TensorBoard(EvaluationListener):
    """Shows a training in TensorBoard, each value at the step it belongs to.

    `tensorboard --logdir LOG_DIR` then shows

    - Time Series and Scalars: for each step the loss of its own batch, the
      learning rate, and the norm of the gradients; the metrics and the speed
      over the steps since the point before; the results of each
      `StepEvaluation` as a run of their own, over the curves of the training;
    - Histograms and Distributions: weights, gradients and activations by layer;
    - Graphs: the operations of the training step under the names of the layers
      and the scopes `cross_entropy`, `gradients`, `trainer` and `evaluator`,
      and Keras' own graph of the layers;
    - Images, PR Curves and Projector, if `data` holds images: what the network
      gets wrong, the confusion matrix, the filters of the first convolution;
      precision against recall for each class; the images as points;
    - HParams: the hyper-parameters of this run beside those of others.

    A step is one update of the optimizer, `optimizer.iterations`. A training
    that goes on, continues its curves: what the folder holds of later steps
    than the model's is removed first, so that no step is there twice. Files
    of others in the folder stay as they are. Of a training that raised, all is
    on the disk when this callback is used again or the process ends.

    Args:
        log_dir: Folder of this run. The curves lie in `train` and `validation`
            inside; a `StepEvaluation` of another name has a folder of this
            name.
        update_freq: Steps between two points of the curves of the training.
            Defaults to 1.
        histogram_freq: Steps between two histograms, 0 for none. With
            `steps_per_execution` at the first chance at or after each
            multiple. Defaults to 0.
        write_graph: Whether to write the graphs. Defaults to `True`.
        data: An `ImageSplit` for the pages with pictures; its first 100 images
            are the batch whose gradients and activations the histograms show.
            Or arrays `(x, y)` of one batch, for histograms only. Defaults to
            `None`: histograms of weights, no pictures.
        hparams: Hyper-parameters of this run by name. Defaults to `None`.
        profile_batch: First and last step of a profile, or `None` for none.
            Defaults to `None`.
        tags: Names of curves in the place of the results' own, as in
            `{"loss": "cross_entropy"}`. Defaults to `None`.
        overwrite: Whether a model that begins at step 0 may remove the curves
            of another run. Defaults to `False`.
        clock: Function that returns seconds. Defaults to `time.monotonic`.

    Raises:
        ValueError: For a wrong argument; and before the first step, if the
            folder holds another run and the model begins at step 0, or if two
            evaluations, or one and the training, would share a folder.
        OSError: Before the first step, if the folder cannot be written to.

    Example:

    >>> board = TensorBoard("logs", histogram_freq=2, data=splits.validation)
    >>> history = model.fit(
    ...     batches,
    ...     steps_per_epoch=4,
    ...     callbacks=[board, StepEvaluation(splits.validation, eval_freq=2)],
    ...     verbose=0,
    ... )
    >>> import pathlib
    >>> sorted(path.name for path in pathlib.Path("logs").iterdir())
    ['train', 'validation']
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        update_freq: int = 1,
        histogram_freq: int = 0,
        write_graph: bool = True,
        data: Any = None,
        hparams: Mapping[str, bool | int | float | str] | None = None,
        profile_batch: tuple[int, int] | None = None,
        tags: Mapping[str, str] | None = None,
        overwrite: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        steps = ", in steps"
        check_integer("update_freq", update_freq, note=steps)
        check_integer("histogram_freq", histogram_freq, least=0, note=steps)
        check_profile(profile_batch)
        check_data(data)
        check_hparams(hparams)
        self.log_dir = pathlib.Path(log_dir)
        self.update_freq = update_freq
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.data = data
        self.hparams = hparams
        self.profile_batch = profile_batch
        self.tags = dict(tags or {})
        self.overwrite = overwrite
        self.clock = clock
        self._writers: RunWriters | None = None
        self._scalars: StepScalars | None = None
        self._histograms: LayerHistograms | None = None
        self._pages: Any = None
        self._names: list[str] = []
        self._graph_wanted = False
        self._profiling = False
        self._step = self._first_step = 0
        self._means: dict[str, Any] | None = None
        self._epoch_ended = False
        self._finalizer: Callable[[], Any] = lambda: None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks at the folder, before any step."""
        # Without a `StepEvaluation` there are curves of the training all the
        # same, so the check of `EvaluationListener` is left out.
        if writes_files(self.model):
            make_writable_folder(self.log_dir)
        self._close()
        self._means = None

    def on_evaluation_names(self, names: list[str]) -> None:
        """Learns which results will come."""
        sources = channel_of(self.model).sources
        runs = [TRAIN, *(run_of(str(source.name)) for source in sources)]
        for run in runs:
            if runs.count(run) > 1:
                raise ValueError(
                    f"The curves of an evaluation would be mixed with others "
                    f"in {self.log_dir / run}. Give its `StepEvaluation` "
                    "another `name`."
                )
        self._names = names

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Opens the files; before the first step all has been restored."""
        if not writes_files(self.model):
            return
        if self._scalars is None:
            self._open()
        assert self._scalars is not None
        self._write_graphs()
        self._scalars.before_step()
        self._profile()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes what is due."""
        if not writes_files(self.model):
            return
        step = self._iterations()
        assert self._scalars is not None
        self._scalars.on_step(step)
        freq = self.histogram_freq
        if self._histograms and step // freq > self._step // freq:
            self._histograms.write(step)
        self._step = step

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Writes the results of an evaluation into a run of their own."""
        if not writes_files(self.model):
            return
        # By hand, an evaluation may come after the training has ended.
        is_open = self._writers is not None
        if not is_open:
            self._open()
        assert self._writers is not None
        assert self._scalars is not None
        # Both curves to the same step, whoever stands first in the list.
        self._scalars.on_step(step)
        self._scalars.flush()
        source = self._source_of(next(iter(logs)))
        writer = self._writers.get(run_of(source))
        with writer.as_default(step=step):
            for name, value in logs.items():
                tag = name.removeprefix(f"{source}_")
                tf.summary.scalar(self.tags.get(tag, tag), value)
        if self._pages is not None and run_of(source) == self._pages_run():
            self._pages.write(step)
        if not is_open:
            self._close()

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Follows the metrics, which begin anew."""
        self._epoch_ended = False
        if self._scalars is not None:
            self._scalars.begin_epoch()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the metrics before `fit` validates with them."""
        self._end_epoch()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Puts all that is known on the disk."""
        self._end_epoch()
        self._flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the points of the projector, and closes the files."""
        self._write_graphs()
        if self._pages is not None:
            from keras_port.callbacks.tensorboard import projector

            folder = self.log_dir / self._pages_run()
            projector.write_projector(self.model, self._pages.split, folder)
        self._close()

    def get_state(self) -> dict[str, Any]:
        """Puts all on the disk: a resumed training removes later steps only."""
        self._write_graphs()
        self._flush()
        if self._scalars is not None:
            self._means = self._scalars.get_state()
        return {"step": self._step, "means": self._means}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self._step = state["step"]
        self._means = state["means"]

    def _open(self) -> None:
        step = self._step = self._first_step = self._iterations()
        for folder in self._run_folders():
            if step == 0:
                self._remove_another_run(folder)
            else:
                keep_steps(folder, step)
        first = step == 0 or not self._run_folders()
        # Once for a run, in whichever `fit` it began.
        self._graph_wanted = self.write_graph and first
        self._writers = RunWriters(self.log_dir)
        train = self._writers.get(TRAIN)
        self._scalars = StepScalars(
            # The finalizer below must not keep the model in memory.
            weakref.proxy(self.model),
            train,
            update_freq=self.update_freq,
            tags=self.tags,
            clock=self.clock,
        )
        if self._means is not None:
            self._scalars.set_state(self._means)
            self._means = None
        # Keras tells no callback of a training that ends in an exception.
        self._finalizer = weakref.finalize(
            self, close_run, self._scalars, self._writers
        )
        if self.histogram_freq:
            batch = fixed_batch(self.model, self.data)
            self._histograms = LayerHistograms(self.model, train, batch)
        if isinstance(self.data, ImageSplit):
            # Draws with Pillow, which would cost every import its time.
            from keras_port.callbacks.tensorboard import prediction_pages

            self._pages = prediction_pages.PredictionPages(
                self.model, self._writers.get(self._pages_run()), self.data
            )
        if self.hparams and first:
            self._write_hparams(self.hparams)

    def _remove_another_run(self, folder: pathlib.Path) -> None:
        last = last_step(folder)
        if last and not self.overwrite:
            raise ValueError(
                f"{folder} holds curves up to step {last}, but "
                "the model begins at step 0: two runs would be mixed. Choose "
                "another `log_dir`, restore the model first to go on with that "
                "run, or give `overwrite=True` to remove its curves."
            )
        if self.overwrite:
            for path in event_files(folder):
                path.unlink()

    def _run_folders(self) -> list[pathlib.Path]:
        folders = [self.log_dir, *sorted(self.log_dir.iterdir())]
        return [folder for folder in folders if event_files(folder)]

    def _write_hparams(self, values: Mapping[str, Any]) -> None:
        from keras_port.callbacks.tensorboard import hyperparameters

        assert self._writers is not None
        # In the run of the results: the page finds no others where the logs
        # of one training alone are opened.
        sources = channel_of(self.model).sources
        run = self._pages_run() if sources else TRAIN
        tags = {
            self.tags.get(tag, tag)
            for name in self._names
            if run_of(source := self._source_of(name)) == run
            for tag in [name.removeprefix(f"{source}_")]
        }
        hyperparameters.write_hyperparameters(
            self._writers.get(run), values, sorted(tags or {"loss"})
        )

    def _write_graphs(self) -> None:
        """Writes the graphs, if this run has none yet.

        After the first call: then every layer, metric and slot has been built,
        and whoever waits for the first step does not wait for this.
        """
        wanted = self._graph_wanted and self._writers is not None
        if not wanted or self._iterations() == self._first_step:
            return
        assert self._writers is not None
        self._graph_wanted = False
        batch = fixed_batch(self.model, self.data)
        writer = self._writers.get(TRAIN)
        write_layer_graph(self.model, writer)
        write_step_graph(self.model, writer, batch)

    def _profile(self) -> None:
        """Starts and ends the profile at the steps that were asked for."""
        if self.profile_batch is None:
            return
        first, last = self.profile_batch
        # The step that begins now.
        step = self._iterations() + 1
        if not self._profiling and first <= step <= last:
            tf.profiler.experimental.start(str(self.log_dir / TRAIN))
            self._profiling = True
        elif self._profiling and step > last:
            self._end_profile()

    def _end_profile(self) -> None:
        if self._profiling:
            self._profiling = False
            tf.profiler.experimental.stop()
            logging.info("A profile was written to %s.", self.log_dir / TRAIN)

    def _flush(self) -> None:
        if self._scalars is not None:
            self._scalars.flush()
        if self._writers is not None:
            self._writers.flush()

    def _close(self) -> None:
        self._end_profile()
        self._finalizer()
        self._writers = self._scalars = self._histograms = self._pages = None

    def _end_epoch(self) -> None:
        # Validation comes before `on_epoch_end`, and leaves its own metrics.
        if self._scalars is not None and not self._epoch_ended:
            self._scalars.end_epoch()
        self._epoch_ended = True

    def _source_of(self, name: str) -> str:
        """Returns the name of the evaluation that a result is of."""
        names = [str(source.name) for source in channel_of(self.model).sources]
        return max((n for n in names if name.startswith(f"{n}_")), key=len)

    def _pages_run(self) -> str:
        """Returns the run that the pictures belong to, the first evaluation."""
        sources = channel_of(self.model).sources
        return run_of(str(sources[0].name)) if sources else VALIDATION

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations.numpy())


def run_of(source: str) -> str:
    """Returns the run's folder for an evaluation's name."""
    return VALIDATION if source == "val" else source


def close_run(scalars: StepScalars, writers: RunWriters) -> None:
    """Writes what is still kept, and closes the files."""
    # The garbage collector may come while a graph is being built, which would
    # get the closing as an operation of its own, of a writer that is gone.
    with tf.init_scope():
        scalars.close()
        writers.close()
