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
    metrics: Sequence[str],
) -> None:
    """Writes a run's hyper-parameters and which of its curves judge it.

    Args:
        writer: Writer of the folder that holds the run's folders.
        values: Hyper-parameters by name.
        metrics: Curves as `run/tag`, such as `validation/accuracy`.
    """
    columns = [
        api.Metric(tag, group=run, display_name=f"{run} {tag}")
        for run, tag in (metric.split("/", 1) for metric in metrics)
    ]
    text = json.dumps(dict(values), sort_keys=True)
    trial_id = hashlib.sha256(text.encode()).hexdigest()
    with writer.as_default():
        api.hparams_config(
            hparams=[api.HParam(name) for name in values], metrics=columns
        )
        api.hparams(dict(values), trial_id=trial_id)
