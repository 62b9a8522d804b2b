"""Files that are whole or not there, and what they hold."""

from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.checkpoints.checkpoint_record import CheckpointRecord
from keras_port.checkpoints.checkpoint_record import read_record
from keras_port.checkpoints.writable_folder import make_writable_folder

__all__ = [
    "CheckpointRecord",
    "atomic_file",
    "make_writable_folder",
    "read_record",
]
