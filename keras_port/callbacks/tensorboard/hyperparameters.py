"""The page that compares runs by their hyper-parameters."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json

import keras
from tensorboard.plugins.hparams import api
import tensorflow as tf

from keras_port.callbacks.tensorboard.runs import TRAIN
from keras_port.callbacks.tensorboard.runs import find_prefix
from keras_port.callbacks.tensorboard.runs import get_pages_run
from keras_port.callbacks.tensorboard.runs import get_run_name
from keras_port.callbacks.tensorboard.runs import list_prefixes

Value = bool | int | float | str


def write_hyperparameters(
    writer: tf.summary.SummaryWriter,
    values: Mapping[str, Value],
    tags: Sequence[str],
) -> None:
    """Writes the hyper-parameters of a run and the names of its result curves.

    Args:
        writer: Writer of the run that holds the curves.
        values: Hyper-parameters by name.
        tags: Names of the curves by which runs are compared.
    """
    columns = [api.Metric(tag) for tag in tags]
    text = json.dumps(dict(values), sort_keys=True)
    trial_id = hashlib.sha256(text.encode()).hexdigest()
    with writer.as_default():
        api.hparams_config(
            hparams=[api.HParam(name) for name in values], metrics=columns
        )
        api.hparams(dict(values), trial_id=trial_id)


def find_result_curves(
    model: keras.Model, results: Sequence[str], tags: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Returns the run that holds the results of a training, and their tags.

    Args:
        model: The model in training.
        results: Names of the results of all its evaluations.
        tags: Names of curves that replace the names of the results.
    """
    # In the run that holds the results: the page does not find them elsewhere
    # when the log directory of a single training is opened.
    run = get_pages_run(model) if list_prefixes(model) else TRAIN
    curves = {
        tags.get(tag, tag)
        for result in results
        if get_run_name(prefix := find_prefix(model, result)) == run
        for tag in [result.removeprefix(f"{prefix}_")]
    }
    return run, sorted(curves or {"loss"})
