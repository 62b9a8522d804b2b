"""Trains, watches, saves and resumes Keras 3 models by the step.

The folders, each with one idea: `datasets` (images as arrays, batches by step),
`models` (the course's perceptron and CNN), `losses` (its cross entropies),
`layers`, `training` (one step, decomposed), `callbacks` (what happens between
steps), `checkpoints` (files), `inspection` (the graph without TensorBoard) and
`distribution` (many devices).
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
from keras_port import tf1  # noqa: E402
from keras_port import training  # noqa: E402

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
    "tf1",
    "training",
]
