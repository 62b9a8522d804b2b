"""Selects the part of a graph that its outputs need."""

from keras_port.tf1.graph.select import refusals as refusals
from keras_port.tf1.graph.select import variable_writes as variable_writes
from keras_port.tf1.graph.select.outputs import is_service as is_service
from keras_port.tf1.graph.select.outputs import likely_outputs as likely_outputs
from keras_port.tf1.graph.select.refusals import Refusal as Refusal
from keras_port.tf1.graph.select.related_updates import beside as beside
from keras_port.tf1.graph.select.shapes import as_tuple as as_tuple
from keras_port.tf1.graph.select.shapes import inferred as inferred
from keras_port.tf1.graph.select.subgraph import closure as closure
from keras_port.tf1.graph.select.subgraph import pruned as pruned
from keras_port.tf1.graph.select.subgraph import reached as reached

__all__: list[str] = []
