"""Files that are whole or not there, and what they hold."""

from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.checkpoints.checkpoint_record import CheckpointRecord
from keras_port.checkpoints.checkpoint_record import read_record
from keras_port.checkpoints.tf1_export import TF1Export
from keras_port.checkpoints.tf1_graph import TF1Graph
from keras_port.checkpoints.tf1_graph import TF1GraphListing
from keras_port.checkpoints.tf1_graph import list_tf1_graph
from keras_port.checkpoints.tf1_loading import load_tf1_checkpoint
from keras_port.checkpoints.tf1_report import TF1Report
from keras_port.checkpoints.tf1_saving import save_tf1_checkpoint
from keras_port.checkpoints.tf1_variables import TF1Variable
from keras_port.checkpoints.tf1_variables import list_tf1_variables
from keras_port.checkpoints.writable_folder import make_writable_folder

__all__ = [
    "CheckpointRecord",
    "TF1Export",
    "TF1Graph",
    "TF1GraphListing",
    "TF1Report",
    "TF1Variable",
    "atomic_file",
    "list_tf1_graph",
    "list_tf1_variables",
    "load_tf1_checkpoint",
    "make_writable_folder",
    "read_record",
    "save_tf1_checkpoint",
]
