"""Makes small `.meta` files as a stranger would, node by node.

TensorFlow itself computes constants while a graph is built, so these graphs are
written and never built here.
"""

from collections.abc import Mapping
import ctypes
import functools
from pathlib import Path
import subprocess
import sys
from typing import Any

from google.protobuf import message_factory
import tensorflow as tf

from tests.gates import checkout

v1 = tf.compat.v1
FLOAT, INT, STRING = (
    one.as_datatype_enum for one in (tf.float32, tf.int32, tf.string)
)
# 12 GB: TensorFlow alone maps half of it.
SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
from keras_port import tf1
try:
    {code}
except (ValueError, FileNotFoundError) as error:
    print(type(error).__name__, error)
# What the system reports of a process includes the one that started it.
with open("/proc/self/status") as file:
    peak = int(file.read().split("VmHWM:")[1].split()[0]) >> 10
print("peak MiB", peak)
"""


class Type(int):
    """An attribute that is the number of a type."""


def node(
    name: str, op: str, inputs: str = "", /, **attributes: Any
) -> v1.NodeDef:
    """Returns an operation; `inputs` are names with spaces between."""
    made = v1.NodeDef(name=name, op=op, input=inputs.split())
    for key, value in attributes.items():
        set_attribute(made.attr[key], value)
    return made


def set_attribute(attribute: Any, value: Any) -> None:
    """Sets an attribute to a value of any of its kinds."""
    match value:
        case Type():
            attribute.type = value
        case bool():
            attribute.b = value
        case int():
            attribute.i = value
        case float():
            attribute.f = value
        case str():
            attribute.s = value.encode()
        case tf.TensorShape():
            attribute.shape.CopyFrom(value.as_proto())
        case list() if value and isinstance(value[0], Type):
            attribute.list.type.extend(value)
        case list() if value and isinstance(value[0], tf.TensorShape):
            attribute.list.shape.extend(one.as_proto() for one in value)
        case list():
            attribute.list.i.extend(value)
        case _:
            attribute.CopyFrom(value)


def const(name: str, value: Any, dtype: Any = None) -> v1.NodeDef:
    """Returns a constant."""
    tensor = tf.make_tensor_proto(value, dtype)
    attribute = v1.AttrValue(tensor=tensor)
    return node(name, "Const", dtype=Type(tensor.dtype), value=attribute)


def placeholder(name: str, *sizes: int | None) -> v1.NodeDef:
    """Returns a placeholder of float32."""
    shape = tf.TensorShape(sizes)
    return node(name, "Placeholder", dtype=Type(FLOAT), shape=shape)


def fill(name: str, dims: str) -> v1.NodeDef:
    """Returns zeros, whose shape TensorFlow finds by computing `dims`."""
    return node(
        name, "Fill", f"{dims} zero", T=Type(FLOAT), index_type=Type(INT)
    )


def file_as_shape(path: str | Path) -> list[v1.NodeDef]:
    """Returns operations that read a file and make it the shape of `out`."""
    return [
        const("path", str(path)),
        const("zero", 0.0),
        node("text", "ReadFile", "path"),
        node(
            "bytes",
            "DecodeRaw",
            "text",
            out_type=Type(tf.uint8.as_datatype_enum),
        ),
        node(
            "dims",
            "Cast",
            "bytes",
            SrcT=Type(tf.uint8.as_datatype_enum),
            DstT=Type(INT),
        ),
        fill("out", "dims"),
    ]


def write(
    path: Path,
    *nodes: v1.NodeDef,
    functions: Mapping[str, list[v1.NodeDef]] | None = None,
    outputs: tuple[str, ...] = ("out",),
) -> Path:
    """Writes a `.meta` file whose signature names the outputs."""
    meta = v1.MetaGraphDef()
    meta.graph_def.versions.producer = 1087
    meta.graph_def.node.extend(nodes)
    for name, inside in (functions or {}).items():
        function = meta.graph_def.library.function.add()
        function.signature.name = name
        result = function.signature.output_arg.add(name="result")
        result.type = FLOAT
        function.node_def.extend(inside)
        function.ret["result"] = f"{inside[-1].name}:output:0"
    for one in outputs:
        meta.signature_def["any"].outputs[one].name = f"{one}:0"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(meta.SerializeToString())
    return path


def run_alone(code: str, folder: Path, seconds: int = 90) -> str:
    """Returns what a process prints that runs code with limits.

    Fails if the process ends in any other way than by itself.
    """
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(code=code)],
        cwd=folder,
        env={"PYTHONPATH": str(checkout.ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


@functools.cache
def list_all_operations() -> dict[str, Any]:
    """Returns TensorFlow's description of every type that it registers.

    TensorFlow's C interface is public; nothing in Python lists them all.
    """
    library = ctypes.CDLL(
        str(next(Path(tf.__file__).parent.glob("libtensorflow_cc.*")))
    )
    library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    buffer = library.TF_GetAllOpList().contents
    pool = v1.MetaGraphDef.DESCRIPTOR.file.pool
    kind = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("tensorflow.OpList")
    )
    found = kind.FromString(ctypes.string_at(buffer.data, buffer.length))
    return {one.name: one for one in found.op}


class Buffer(ctypes.Structure):
    """`TF_Buffer` of TensorFlow's C interface."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("free", ctypes.c_void_p),
    ]
