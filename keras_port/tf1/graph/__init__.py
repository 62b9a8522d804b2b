"""TensorFlow 1 graphs as trainable Keras layers.

Four stages, every one of which imports only from those before it:

- `read` reads a `.meta` file, and the values that belong to it;
- `select` finds what the outputs need, and refuses what must not run;
- `control_flow` recovers conditions and loops;
- `trace` builds the operations in TensorFlow 2.

On top, `layer.py` is the layer and `report.py` the list of a graph.
`convert.py` makes the program of a layer, and `network.py` runs it.
"""

from keras_port.tf1.graph.layer import GraphLayer
from keras_port.tf1.graph.phase import Phase
from keras_port.tf1.graph.report import GraphReport
from keras_port.tf1.graph.report import list_graph

__all__ = ["GraphLayer", "GraphReport", "Phase", "list_graph"]
