"""The page that compares runs by their hyper-parameters."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json

import keras
from tensorboard.plugins.hparams import api
import tensorflow as tf

from keras_port.callbacks.tensorboard.run_names import TRAIN
from keras_port.callbacks.tensorboard.run_names import pages_run
from keras_port.callbacks.tensorboard.run_names import run_of
from keras_port.callbacks.tensorboard.run_names import source_of
from keras_port.callbacks.tensorboard.run_names import sources_of

Value = bool | int | float | str


def write_hyperparameters(
    writer: tf.summary.SummaryWriter,
    values: Mapping[str, Value],
    tags: Sequence[str],
) -> None:
    """Writes a run's hyper-parameters and which of its curves judge it.

    Args:
        writer: Writer of the run that holds the curves.
        values: Hyper-parameters by name.
        tags: Names of those of its curves that judge the run.
    """
    columns = [api.Metric(tag) for tag in tags]
    text = json.dumps(dict(values), sort_keys=True)
    trial_id = hashlib.sha256(text.encode()).hexdigest()
    with writer.as_default():
        api.hparams_config(
            hparams=[api.HParam(name) for name in values], metrics=columns
        )
        api.hparams(dict(values), trial_id=trial_id)


def judging_curves(
    model: keras.Model, results: Sequence[str], tags: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Returns the run whose curves judge a training, and their tags.

    Args:
        model: The model in training.
        results: Names of the results of all its evaluations.
        tags: Names of curves in the place of the results' own.
    """
    # In the run of the results: the page finds no others where the logs of
    # one training alone are opened.
    run = pages_run(model) if sources_of(model) else TRAIN
    curves = {
        tags.get(tag, tag)
        for result in results
        if run_of(source := source_of(model, result)) == run
        for tag in [result.removeprefix(f"{source}_")]
    }
    return run, sorted(curves or {"loss"})
