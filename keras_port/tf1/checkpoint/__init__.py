"""TensorFlow 1 checkpoints in Keras models, and Keras models as checkpoints.

- `variables.py` lists a checkpoint; `keras_port/tf1/_files.py` reads its files.
- `_pairing.py` decides which variable is which: weights (`_model_weights.py`)
  by `_matching.py`, the optimizer's by `_optimizer_state.py` and `_slots.py`.
- `loading.py` loads.
- `saving.py` saves, with names (`_export_names.py`) and a graph
  (`_export_graph.py`) for TensorFlow 1, or into a copy of an old checkpoint
  (`_write_back.py`).
"""

from keras_port.tf1.checkpoint._export_names import Scheme as Scheme
from keras_port.tf1.checkpoint._matching import Match as Match
from keras_port.tf1.checkpoint.loading import LoadReport
from keras_port.tf1.checkpoint.loading import load_checkpoint
from keras_port.tf1.checkpoint.saving import ExportReport
from keras_port.tf1.checkpoint.saving import save_checkpoint
from keras_port.tf1.checkpoint.variables import CheckpointVariable
from keras_port.tf1.checkpoint.variables import list_variables

__all__ = [
    "CheckpointVariable",
    "ExportReport",
    "LoadReport",
    "list_variables",
    "load_checkpoint",
    "save_checkpoint",
]
