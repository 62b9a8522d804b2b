"""Types of the protocol buffers that describe a graph.

TensorFlow exports names only for the first group. It has no public name for
the others, so here they are plain messages.
"""

from typing import Any
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


def find_message(name: str) -> Any:
    """Returns the class of a protocol buffer that TensorFlow does not export.

    Args:
        name: Its full name, such as `"tensorflow.VariableDef"`.
    """
    # Imported here because it takes a tenth of a second.
    from google.protobuf import message_factory  # type: ignore[import-untyped]

    pool = MetaGraphDef.DESCRIPTOR.file.pool
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
