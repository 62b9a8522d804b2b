"""The summaries that a model writes itself, in its layers or its step."""

from collections.abc import Callable
import pathlib
from typing import Any
import weakref

import keras
import tensorflow as tf

from keras_port.callbacks._steps import get_step
from keras_port.callbacks._train_function import TrainFunction
from keras_port.callbacks._train_function import wrap_train_function
from keras_port.callbacks.tensorboard.write_errors import raise_write_error
from keras_port.training import get_workers

Function = Callable[[Any], Any]

# Functions that were traced with a default writer and hold no summary, so that
# the next training need not trace them again.
_WITHOUT_SUMMARIES: "weakref.WeakSet[Any]" = weakref.WeakSet()


class OwnSummaries:
    """Makes a writer the default one inside the steps of a training.

    `tf.summary.scalar` in a layer or in a `train_step` then writes to it, at
    the step of the training. With `steps_per_execution` all steps of a call
    have the number of its first one. An evaluation between the steps writes
    nothing. A default writer of the user's own stays the default one.

    A function that TensorFlow has traced keeps the writer, or the absence of
    one, with which it was traced. So it is replaced by a new one before the
    first training with a writer, and after a training in which the model has
    written something.

    Args:
        model: The model in training.
        writer: The writer.
        update_freq: Steps between two summaries.
        log_dir: Directory of the event files, for error messages.
        on_error: Called when a step raises an exception.
    """

    def __init__(
        self,
        model: keras.Model,
        writer: tf.summary.SummaryWriter,
        *,
        update_freq: int,
        log_dir: pathlib.Path,
        on_error: Callable[[], None],
    ) -> None:
        self._model = weakref.ref(model)
        self._writer = writer
        self._update_freq = update_freq
        self._log_dir = log_dir
        self._on_error = on_error
        self._steps_per_call = int(getattr(model, "steps_per_execution", 1))
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._is_due = tf.Variable(False, trainable=False)
        # Number of the next step, and whether it is due.
        self._next = (0, False)
        self._found = False
        self._is_open = True
        # Every `fit` has another one.
        self._history = weakref.ref(getattr(model, "history", None) or self)
        self._function: Function | None = None
        # XLA cannot compile a summary.
        can_write = not model.jit_compile
        self._is_default = can_write and not bool(
            tf.summary.should_record_summaries()
        )
        self._wrap(model)

    def before_call(self, step: int) -> None:
        """Prepares for the steps of one call.

        Args:
            step: Number of the first one.
        """
        if not self._is_default:
            return
        last = step + self._steps_per_call - 1
        is_due = last // self._update_freq > (step - 1) // self._update_freq
        self._next = step, is_due
        # Two assignments take longer than a small step.
        if self._found:
            self._assign_next()

    def close(self) -> None:
        """Gives the model a function that does not know the writer."""
        model, function = self._model(), self._function
        if not self._is_open or function is None or model is None:
            return
        self._is_open = False
        if not self._found:
            _WITHOUT_SUMMARIES.add(function)
        current = model.train_function
        inner = (
            current.function if isinstance(current, TrainFunction) else current
        )
        if inner != self._call:
            return
        if self._found:
            model.make_train_function(force=True)
            function = model.train_function
        if isinstance(current, TrainFunction):
            current.function = function
            model.train_function = current
        else:
            model.train_function = function

    def _wrap(self, model: keras.Model) -> None:
        outer = wrap_train_function(model)
        if outer is None:  # A loop of the user's own.
            return
        # If the chief alone traced its function again, the keys of its
        # collective operations would no longer be those of the other workers.
        if (
            self._is_default
            and outer.function not in _WITHOUT_SUMMARIES
            and get_workers(model) is None
        ):
            model.make_train_function(force=True)
            outer.function = model.train_function
            model.train_function = outer
        self._function = outer.function
        outer.function = self._call

    def _call(self, iterator: Any) -> Any:
        assert self._function is not None
        if not self._is_open:
            return self._function(iterator)
        model = self._model()
        if model is None or self._history() is not model.history:
            # Left over from a `fit` that raised an exception.
            self._is_due.assign(False)
            return self._function(iterator)
        try:
            if not self._is_default:
                return self._function(iterator)
            with (
                self._writer.as_default(step=self._step),
                tf.summary.record_if(self._record),
            ):
                return self._function(iterator)
        except (StopIteration, tf.errors.OutOfRangeError):
            raise  # The end of the data.
        except BaseException as error:
            if isinstance(error, tf.errors.OpError):
                raise_write_error(error, self._log_dir, get_step(model))
            self._on_error()
            raise

    def _record(self) -> tf.Tensor:
        # TensorFlow asks when it traces a summary.
        if not self._found:
            self._found = True
            with tf.init_scope():
                self._assign_next()
        return tf.convert_to_tensor(self._is_due)

    def _assign_next(self) -> None:
        step, is_due = self._next
        self._step.assign(step)
        self._is_due.assign(is_due)
