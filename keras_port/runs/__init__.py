"""A training in a directory of its own, which resumes exactly."""

from keras_port.runs.results import Results
from keras_port.runs.run import Run
from keras_port.runs.run import (
    get_steps_per_execution as get_steps_per_execution,
)

__all__ = ["Results", "Run"]
