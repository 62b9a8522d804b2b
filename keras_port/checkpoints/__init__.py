"""Files that are complete or absent, and what they hold."""

from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.checkpoints.atomic_file import (
    partial_directory as partial_directory,
)
from keras_port.checkpoints.atomic_file import (
    remove_leftovers as remove_leftovers,
)
from keras_port.checkpoints.atomic_file import sync as sync
from keras_port.checkpoints.background_writer import (
    BackgroundWriter as BackgroundWriter,
)
from keras_port.checkpoints.checkpoint_record import CheckpointRecord
from keras_port.checkpoints.checkpoint_record import read_record
from keras_port.checkpoints.directory_lock import DirectoryLock as DirectoryLock
from keras_port.checkpoints.saved_model import write_model as write_model
from keras_port.checkpoints.snapshot import preview as preview
from keras_port.checkpoints.snapshot import read_snapshot as read_snapshot
from keras_port.checkpoints.snapshot import (
    read_snapshot_and_notes as read_snapshot_and_notes,
)
from keras_port.checkpoints.snapshot import write_snapshot as write_snapshot
from keras_port.checkpoints.writable_directory import make_writable_directory

__all__ = [
    "CheckpointRecord",
    "atomic_file",
    "make_writable_directory",
    "read_record",
]
