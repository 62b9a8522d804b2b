"""Types of the protocol buffers that describe a graph.

TensorFlow exports names only for the first group. It has no public name for
the others, so here they are plain messages.
"""

from typing import TypeAlias

# Comes with TensorFlow, without types.
from google.protobuf.message import Message  # type: ignore[import-untyped]
import tensorflow as tf

AttrValue: TypeAlias = tf.compat.v1.AttrValue
GraphDef: TypeAlias = tf.compat.v1.GraphDef
MetaGraphDef: TypeAlias = tf.compat.v1.MetaGraphDef
NodeDef: TypeAlias = tf.compat.v1.NodeDef

FunctionDef: TypeAlias = Message
OpDef: TypeAlias = Message
ArgDef: TypeAlias = Message
ShapeProto: TypeAlias = Message
SavedModel: TypeAlias = Message
TensorInfo: TypeAlias = Message
TensorProto: TypeAlias = Message
VariableDef: TypeAlias = Message
VersionDef: TypeAlias = Message
