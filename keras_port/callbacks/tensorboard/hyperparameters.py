"""The page that compares runs by their hyper-parameters."""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json

from tensorboard.plugins.hparams import api
import tensorflow as tf

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
