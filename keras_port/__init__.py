"""Trains, watches, saves and resumes Keras 3 models by the step.

Each folder holds one idea:

- `datasets`: images as arrays, and batches by step.
- `models`: the course's perceptron and CNN.
- `losses`: the course's cross entropies.
- `layers`: a dropout that resumes, a check of pixels, a faster dense layer.
- `optimizers`: TensorFlow 1's Adam.
- `training`: the training step in its parts, and evaluation.
- `callbacks`: what happens between steps.
- `runs`: a training that resumes after a kill.
- `checkpoints`: files that are whole or not there.
- `tf1`: TensorFlow 1 checkpoints and graphs.
- `inspection`: the graph of a model without TensorBoard.
- `distribution`: several devices and several machines.
"""

from keras_port._environment import check_environment

check_environment()

from keras_port import callbacks  # noqa: E402 (after the check, so that a wrong
from keras_port import checkpoints  # noqa: E402  backend gets our message and
from keras_port import datasets  # noqa: E402  not an error from deep inside)
from keras_port import distribution  # noqa: E402
from keras_port import inspection  # noqa: E402
from keras_port import layers  # noqa: E402
from keras_port import losses  # noqa: E402
from keras_port import models  # noqa: E402
from keras_port import optimizers  # noqa: E402
from keras_port import runs  # noqa: E402
from keras_port import tf1  # noqa: E402
from keras_port import training  # noqa: E402
from keras_port._support import complete_public_names  # noqa: E402

complete_public_names(
    callbacks,
    checkpoints,
    datasets,
    distribution,
    inspection,
    layers,
    losses,
    models,
    optimizers,
    runs,
    tf1,
    training,
)

__version__ = "0.1.0"

__all__ = [
    "callbacks",
    "checkpoints",
    "datasets",
    "distribution",
    "inspection",
    "layers",
    "losses",
    "models",
    "optimizers",
    "runs",
    "tf1",
    "training",
]
