"""Imports what the programs need, once for all processes that are forked.

No operation may run here: a process that is forked after TensorFlow has made
its threads would wait for threads that it does not have.
"""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_stderr = os.dup(2)
_nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)  # What TensorFlow's libraries say of the machine.

import h5py  # noqa: F401
import keras  # noqa: F401
import tensorflow as tf  # noqa: F401

from keras_port import callbacks  # noqa: F401
from keras_port import checkpoints  # noqa: F401
from keras_port import datasets  # noqa: F401
from keras_port import distribution  # noqa: F401
from keras_port import losses  # noqa: F401
from keras_port import models  # noqa: F401
from keras_port import optimizers  # noqa: F401
from keras_port import runs  # noqa: F401
from keras_port import tf1  # noqa: F401
from keras_port import training  # noqa: F401

os.dup2(_stderr, 2)
os.close(_stderr)
os.close(_nowhere)
gc.freeze()
