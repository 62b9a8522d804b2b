"""A broken `.meta` loads or is one clear error, and takes no memory."""

from collections.abc import Callable
import os
from pathlib import Path
import tracemalloc
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import Phase
from keras_port.tf1 import list_graph
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.sessions import run

v1 = tf.compat.v1
FUZZ_FILES = int(os.environ.get("KERAS_PORT_FUZZ_FILES", "20"))
MIB = 1 << 20
PROGRAMS = [
    (programs.nested_loops, Mode("ref", "v1"), {}),
    (programs.nested_loops, Mode("resource", "v2"), {}),
    (
        programs.batch_norm_by_hand,
        Mode("ref", "v1"),
        {"is_training": Phase(training=True, inference=False)},
    ),
    (programs.partitioned, Mode("resource", "v1"), {}),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Returns a folder for each program."""
    made = []
    for program, mode, _ in PROGRAMS:
        folder = tmp_path_factory.mktemp("broken")
        run(program, mode, folder)
        made.append(folder)
    return made


def mutate(content: bytes, generator: np.random.Generator) -> bytes:
    """Returns the content with one kind of damage."""
    data = bytearray(content)
    position = int(generator.integers(len(data)))
    count = int(generator.integers(1, 9))
    match generator.integers(6):
        case 0:  # flipped bits
            for place in generator.integers(8 * len(data), size=count):
                data[place // 8] ^= 1 << place % 8
        case 1:  # a cut
            del data[position:]
        case 2:  # an insertion
            data[position:position] = generator.bytes(count)
        case 3:  # a deletion
            del data[position : position + count]
        case 4:  # other bytes
            data[position : position + count] = generator.bytes(count)
        case _:  # a piece twice
            data[position:position] = data[position : position + 8 * count]
    return bytes(data)


def mutate_graph(content: bytes, generator: np.random.Generator) -> bytes:
    """Returns a file that can be read, with a graph that makes no sense."""
    meta = v1.MetaGraphDef.FromString(content)
    lists = [meta.graph_def.node] + [
        function.node_def for function in meta.graph_def.library.function
    ]
    nodes = [node for one in lists for node in one]
    # What is needed for the outputs comes first.
    node = nodes[int(generator.integers(min(len(nodes), 80)))]
    other = nodes[int(generator.integers(len(nodes)))]
    match generator.integers(6):
        case 0:
            node.op = other.op
        case 1:
            node.input.extend([other.name])
        case 2:
            del node.input[:1]
        case 3:
            node.input[:] = [other.name, *node.input[1:]]
        case 4:
            for name in list(node.attr):
                if generator.random() < 0.5:
                    del node.attr[name]
        case _:
            for name in list(node.attr):
                node.attr[name].CopyFrom(
                    other.attr[name] if name in other.attr else node.attr[name]
                )
                if node.attr[name].HasField("tensor"):
                    for dim in node.attr[name].tensor.tensor_shape.dim:
                        dim.size = int(generator.integers(-2, 1 << 40))
    return bytes(meta.SerializeToString())


@pytest.mark.slow
def test_a_mutated_meta_loads_or_is_a_clear_error(
    folders: list[Path],
) -> None:
    generator = np.random.default_rng(7)
    loaded = 0
    for number in range(FUZZ_FILES):
        which = number % len(folders)
        meta = folders[which] / "model.ckpt.meta"
        whole = meta.read_bytes()
        change = mutate_graph if number % 2 else mutate
        path = meta.with_name("mutated.meta")
        path.write_bytes(change(whole, generator))
        loaded += loads_or_explains(path, meta, PROGRAMS[which][2])
    assert loaded < FUZZ_FILES


def loads_or_explains(path: Path, meta: Path, constants: Any) -> bool:
    """Tells whether a file loads; fails unless an error names it."""
    message = ""
    try:
        list_graph(path)
        GraphLayer(
            path,
            inputs="x",
            outputs="out",
            constants=constants,
            checkpoint=meta.with_suffix(""),
        )
    except ValueError as error:
        message = str(error)
    assert not message or str(path) in message, message
    return not message


def peak_of(function: Callable[[], object]) -> int:
    """Returns the most bytes that Python held meanwhile."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(path: Path, part: str) -> None:
    """Raises unless the graph is refused with these words."""
    with pytest.raises(ValueError, match=part):
        GraphLayer(path, inputs="x", outputs="out")


def test_a_constant_that_claims_terabytes_takes_no_memory(
    folders: list[Path],
) -> None:
    meta = v1.MetaGraphDef.FromString(
        (folders[0] / "model.ckpt.meta").read_bytes()
    )
    tensor = meta.graph_def.node.add(name="huge", op="Const").attr["value"]
    tensor.tensor.dtype = tf.float32.as_datatype_enum
    tensor.tensor.float_val.append(1)
    for _ in range(4):
        tensor.tensor.tensor_shape.dim.add(size=1024)
    path = folders[0] / "huge.meta"
    path.write_bytes(meta.SerializeToString())
    assert peak_of(lambda: refused(path, "'huge'")) < 16 * MIB


def test_a_checkpoint_that_is_cut_is_refused(
    folders: list[Path], tmp_path: Path
) -> None:
    for file in folders[0].glob("model.ckpt*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (data,) = tmp_path.glob("*.data-*")
    data.write_bytes(data.read_bytes()[:40])
    refused(tmp_path / "model.ckpt.meta", "cut|hold")


def test_a_function_that_calls_itself_is_refused(folders: list[Path]) -> None:
    meta = v1.MetaGraphDef.FromString(
        (folders[1] / "model.ckpt.meta").read_bytes()
    )
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            for attribute in node.attr.values():
                if attribute.HasField("func"):
                    attribute.func.name = function.signature.name
    path = folders[1] / "endless.meta"
    path.write_bytes(meta.SerializeToString())
    refused(path, "calls itself|does not accept")


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no TensorFlow 1 graph"):
        list_graph(tmp_path / "nothing")
    empty = tmp_path / "empty.meta"
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.meta"):
        list_graph(empty)
    empty.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ValueError, match=r"empty\.meta"):
        list_graph(empty)


def test_a_configuration_is_not_unpacked_beyond_what_it_says(
    folders: list[Path],
) -> None:
    layer = GraphLayer(folders[0], inputs="x", outputs="out")
    config = layer.get_config()
    config["program"]["graph_bytes"] -= 1
    with pytest.raises(
        ValueError, match="configuration of this `GraphLayer` is broken"
    ):
        GraphLayer.from_config(config, safe_mode=False)
    config = layer.get_config()
    config["program"]["variables"][0]["shape"] = [1 << 40, 6]
    with pytest.raises(ValueError, match="claim"):
        GraphLayer.from_config(config, safe_mode=False)
