"""What a training has written for TensorBoard."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
import re
from typing import Any

import numpy as np
import tensorflow as tf

from keras_port.callbacks.tensorboard.event_files import events

PATTERN = "events.out.tfevents.*"
Runs = dict[str, dict[str, list[tuple[int, Any]]]]


def events_of(folder: Path) -> Iterator[Any]:
    """Yields the events of one run, in the order in which files were begun."""
    for path in sorted(folder.glob(PATTERN), key=numbers_in_name):
        for _, event in events(path):
            yield event


def numbers_in_name(path: Path) -> list[int]:
    """Returns the second, the process, and the number of a file in it.

    As a text, the tenth file of a second would come before the ninth.
    """
    return [int(number) for number in re.findall(r"\d+", path.name)]


def written(log_dir: Path) -> Runs:
    """Returns `{run: {tag: [(step, value)]}}`, "" for the folder itself."""
    runs: Runs = {}
    for folder in [log_dir, *sorted(log_dir.iterdir())]:
        if not list(folder.glob(PATTERN)):
            continue
        run = "" if folder == log_dir else folder.name
        tags = runs.setdefault(run, defaultdict(list))
        for event in events_of(folder):
            for value in event.summary.value:
                array = tf.make_ndarray(value.tensor)
                tags[value.tag].append((event.step, array))
    return runs


def curve(log_dir: Path, run: str, tag: str) -> dict[int, float]:
    """Returns a curve's values by step; no step may be there twice."""
    points = written(log_dir)[run][tag]
    steps = [step for step, _ in points]
    assert len(set(steps)) == len(steps), f"{run}/{tag} repeats: {steps}"
    return {step: float(value) for step, value in points}


def steps_of(log_dir: Path, run: str, tag: str) -> list[int]:
    """Returns the steps of a tag in the order of their writing."""
    return [step for step, _ in written(log_dir)[run][tag]]


def graphs(folder: Path) -> list[tf.compat.v1.GraphDef]:
    """Returns the graphs of a run."""
    return [
        tf.compat.v1.GraphDef.FromString(event.graph_def)
        for event in events_of(folder)
        if event.HasField("graph_def")
    ]


def images_of(value: np.ndarray) -> list[np.ndarray]:
    """Returns the pictures of an image summary, uint8."""
    return [tf.io.decode_png(picture).numpy() for picture in value[2:]]
