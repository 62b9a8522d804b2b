"""A profile of some steps of a training."""

import pathlib

from absl import logging
import tensorflow as tf


class StepProfile:
    """Records what the devices do, from one step to another.

    Args:
        folder: Folder of the run that the profile is shown with.
        first: First step of the profile, counted from 1.
        last: Its last step.

    Attributes:
        is_running: Whether it is being recorded.
    """

    def __init__(self, folder: pathlib.Path, first: int, last: int) -> None:
        self.folder = folder
        self.first = first
        self.last = last
        self.is_running = False

    def before_step(self, step: int) -> None:
        """Starts or ends, as the step that begins now asks for."""
        if not self.is_running and self.first <= step <= self.last:
            tf.profiler.experimental.start(str(self.folder))
            self.is_running = True
        elif step > self.last:
            self.end()

    def end(self) -> None:
        """Writes what has been recorded, if anything was."""
        if self.is_running:
            self.is_running = False
            tf.profiler.experimental.stop()
            logging.info("A profile was written to %s.", self.folder)
