"""TensorFlow 1 graphs as trainable Keras layers.

Four stages, every one of which imports only from those before it:

- `read` reads the file that holds a graph, and the values that belong to it;
- `select` finds what the outputs need, and refuses what must not run;
- `control_flow` recovers conditions and loops;
- `trace` builds the operations in TensorFlow 2.

On top, `layer.py` is the layer and `report.py` the list of a graph.
`names.py` finds what the user has named, and `convert.py` makes the program of
a layer. `network.py` runs it, with `bind.py` for its inputs and `batches.py`
for a fixed batch size.
"""

from keras_port.tf1.graph.layer import GraphLayer
from keras_port.tf1.graph.phase import Phase
from keras_port.tf1.graph.report import GraphReport
from keras_port.tf1.graph.report import list_graph

__all__ = ["GraphLayer", "GraphReport", "Phase", "list_graph"]
