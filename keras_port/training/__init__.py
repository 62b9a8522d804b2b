"""The training step in its parts, and an evaluation that changes nothing."""

from keras_port.training.compiled_loop import drop_batches as drop_batches
from keras_port.training.evaluator import Evaluator
from keras_port.training.evaluator import build_metrics as build_metrics
from keras_port.training.evaluator import get_split_arrays as get_split_arrays
from keras_port.training.evaluator import preserve_state as preserve_state
from keras_port.training.example_selection import HardExamples
from keras_port.training.fit_arguments import (
    TrainingIsOverError as TrainingIsOverError,
)
from keras_port.training.fit_arguments import list_callbacks as list_callbacks
from keras_port.training.fit_checks import (
    takes_integer_labels as takes_integer_labels,
)
from keras_port.training.flat_results import flatten_results as flatten_results
from keras_port.training.gradient_model import GradientModel
from keras_port.training.gradient_result import Batch as Batch
from keras_port.training.gradient_result import GradientResult
from keras_port.training.sharing import FinishStep as FinishStep
from keras_port.training.sharing import Links as Links
from keras_port.training.sharing import Logs as Logs
from keras_port.training.sharing import Sharing as Sharing
from keras_port.training.sharing import compare_workers as compare_workers
from keras_port.training.sharing import (
    compute_shard_gradients as compute_shard_gradients,
)
from keras_port.training.sharing import describe as describe
from keras_port.training.sharing import evaluate_shard as evaluate_shard
from keras_port.training.sharing import get_links as get_links
from keras_port.training.sharing import get_workers as get_workers
from keras_port.training.sharing import is_chief
from keras_port.training.sharing import set_links as set_links
from keras_port.training.sharing import worker_errors
from keras_port.training.step_log import StepLog as StepLog
from keras_port.training.step_log import StepValues as StepValues

__all__ = [
    "Evaluator",
    "GradientModel",
    "GradientResult",
    "HardExamples",
    "is_chief",
    "worker_errors",
]
