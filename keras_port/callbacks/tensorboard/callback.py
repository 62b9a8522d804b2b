"""The training as TensorBoard shows it."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import pathlib
import time
from typing import Any

from keras_port._support import check_integer
from keras_port.callbacks.evaluation_listener import EvaluationListener
from keras_port.callbacks.tensorboard.arguments import check_data
from keras_port.callbacks.tensorboard.arguments import check_hparams
from keras_port.callbacks.tensorboard.arguments import check_profile
from keras_port.callbacks.tensorboard.earlier_curves import make_room
from keras_port.callbacks.tensorboard.open_run import OpenRun
from keras_port.callbacks.tensorboard.run_names import TRAIN
from keras_port.callbacks.tensorboard.run_names import check_own_folders
from keras_port.callbacks.tensorboard.step_profile import StepProfile
from keras_port.checkpoints.writable_folder import make_writable_folder
from keras_port.training.workers import is_chief


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
        check_integer("histogram_freq", histogram_freq, minimum=0, note=steps)
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
        self._run: OpenRun | None = None
        self._profile: StepProfile | None = None
        self._names: list[str] = []
        self._graph_wanted = False
        self._step = self._first_step = 0
        self._means: dict[str, Any] | None = None
        self._epoch_ended = False

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Looks at the folder, before any step."""
        # Without a `StepEvaluation` there are curves of the training all the
        # same, so the check of `EvaluationListener` is left out.
        if is_chief(self.model):
            make_writable_folder(self.log_dir)
        self._close()
        self._means = None

    def on_evaluation_names(self, names: list[str]) -> None:
        """Learns which results will come."""
        check_own_folders(self.model, self.log_dir)
        self._names = names

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Opens the files; before the first step all has been restored."""
        if not is_chief(self.model):
            return
        run = self._opened()
        self._write_graphs()
        run.scalars.before_step()
        if self._profile is not None:
            # The step that begins now.
            self._profile.before_step(self._iterations() + 1)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Writes what is due."""
        if not is_chief(self.model):
            return
        step = self._iterations()
        run = self._opened()
        run.scalars.on_step(step)
        freq = self.histogram_freq
        if run.histograms and step // freq > self._step // freq:
            run.histograms.write(step)
        self._step = step

    def on_evaluation_end(self, step: int, logs: dict[str, float]) -> None:
        """Writes the results of an evaluation into a run of their own."""
        if not is_chief(self.model):
            return
        # By hand, an evaluation may come after the training has ended.
        was_open = self._run is not None
        self._opened().write_results(step, logs)
        if not was_open:
            self._close()

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Follows the metrics, which begin anew."""
        self._epoch_ended = False
        if self._run is not None:
            self._run.scalars.begin_epoch()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Keeps the metrics before `fit` validates with them."""
        self._end_epoch()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Puts all that is known on the disk."""
        self._end_epoch()
        if self._run is not None:
            self._run.flush()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Writes the points of the projector, and closes the files."""
        self._write_graphs()
        if self._run is not None:
            self._run.write_projector()
        self._close()

    def get_state(self) -> dict[str, Any]:
        """Puts all on the disk: a resumed training removes later steps only."""
        self._write_graphs()
        if self._run is not None:
            self._run.flush()
            self._means = self._run.scalars.get_state()
        return {"step": self._step, "means": self._means}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self._step = state["step"]
        self._means = state["means"]

    def _opened(self) -> OpenRun:
        """Returns the run, whose files the first call opens."""
        if self._run is None:
            self._run = self._open()
        return self._run

    def _open(self) -> OpenRun:
        step = self._step = self._first_step = self._iterations()
        begins = make_room(self.log_dir, step, overwrite=self.overwrite)
        # Once for a run, in whichever `fit` it began.
        self._graph_wanted = self.write_graph and begins
        run = OpenRun(
            self.model,
            self.log_dir,
            data=self.data,
            update_freq=self.update_freq,
            histogram_freq=self.histogram_freq,
            tags=self.tags,
            clock=self.clock,
        )
        if self._means is not None:
            run.scalars.set_state(self._means)
            self._means = None
        if self.profile_batch is not None:
            first, last = self.profile_batch
            self._profile = StepProfile(self.log_dir / TRAIN, first, last)
        if self.hparams and begins:
            self._write_hparams(run, self.hparams)
        return run

    def _write_hparams(self, run: OpenRun, values: Mapping[str, Any]) -> None:
        # Loads TensorBoard, which would cost every import its time.
        from keras_port.callbacks.tensorboard import hyperparameters

        name, curves = hyperparameters.judging_curves(
            self.model, self._names, self.tags
        )
        hyperparameters.write_hyperparameters(
            run.writers.get(name), values, curves
        )

    def _write_graphs(self) -> None:
        """Writes the graphs, if this run has none yet.

        After the first call: then every layer, metric and slot has been built,
        and whoever waits for the first step does not wait for this.
        """
        if self._run is None or not self._graph_wanted:
            return
        if self._iterations() > self._first_step:
            self._graph_wanted = False
            self._run.write_graphs()

    def _close(self) -> None:
        if self._profile is not None:
            self._profile.end()
        if self._run is not None:
            self._run.close()
        self._run = self._profile = None

    def _end_epoch(self) -> None:
        # Validation comes before `on_epoch_end`, and leaves its own metrics.
        if self._run is not None and not self._epoch_ended:
            self._run.scalars.end_epoch()
        self._epoch_ended = True

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations.numpy())
