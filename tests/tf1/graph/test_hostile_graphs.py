"""A graph that a stranger made is listed without running anything of it.

The numbers S1 to S12 and R20 are those of the review that found the holes.
"""

from collections.abc import Callable
import os
from pathlib import Path
import re
import signal
import threading
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from keras_port.tf1 import list_graph
from keras_port.tf1.graph.select import let_in
from keras_port.tf1.graph.select import shape_process
from tests.gates import checkout
from tests.tf1.graph import hostile
from tests.tf1.graph.hostile import FLOAT
from tests.tf1.graph.hostile import INT
from tests.tf1.graph.hostile import Type
from tests.tf1.graph.hostile import const
from tests.tf1.graph.hostile import fill
from tests.tf1.graph.hostile import node
from tests.tf1.graph.hostile import placeholder

v1 = tf.compat.v1
INT64 = tf.int64.as_datatype_enum


def test_s1_a_file_is_not_read_while_a_graph_is_listed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"word")
    nodes = hostile.file_as_shape(secret)
    report = list_graph(hostile.write(tmp_path / "m.meta", *nodes))
    assert report.outputs[0].shape is None
    assert "touches files" in str(report)


@pytest.mark.slow
def test_s1_a_pipe_is_not_opened_while_a_graph_is_listed(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    hostile.write(
        tmp_path / "m.meta", *hostile.file_as_shape(tmp_path / "pipe")
    )
    printed = hostile.run_alone("print(tf1.list_graph('m.meta'))", tmp_path)
    assert "refused: 1" in printed


def test_s1_a_file_is_not_read_in_a_function(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"word")
    inside = hostile.file_as_shape(secret)
    for one in inside[2:]:
        one.input[:] = [
            f"{name}:{output}:0"
            for name, output in zip(
                one.input,
                {"Fill": ("y", "output"), "Cast": ("output",)}.get(
                    one.op, ("output",)
                ),
                strict=True,
            )
        ]
    inside[3].input[:] = ["text:contents:0"]
    calls = {
        "PartitionedCall": node(
            "out",
            "PartitionedCall",
            f=v1.AttrValue(func={"name": "f"}),
            Tin=v1.AttrValue(list={}),
            Tout=[Type(FLOAT)],
        ),
        "f": node("out", "f"),
        "If": node(
            "out",
            "If",
            "yes",
            then_branch=v1.AttrValue(func={"name": "f"}),
            else_branch=v1.AttrValue(func={"name": "f"}),
            Tcond=Type(tf.bool.as_datatype_enum),
            Tin=v1.AttrValue(list={}),
            Tout=[Type(FLOAT)],
        ),
    }
    for name, call in calls.items():
        copied = v1.NodeDef.FromString(call.SerializeToString())
        end = node("end", "Neg", "out", T=Type(FLOAT))
        path = hostile.write(
            tmp_path / f"{name}.meta",
            const("yes", value=True),
            copied,
            end,
            functions={"f": inside},
            outputs=("end",),
        )
        report = list_graph(path)
        assert report.outputs[0].shape is None, name
        assert "touches files in the function 'f'" in str(report)


def test_s2_what_is_behind_an_input_is_not_run(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\x04\x02")
    nodes = hostile.file_as_shape(secret)
    shape = tf.TensorShape([None, None])
    nodes += [
        node("x", "EnsureShape", "out", T=Type(FLOAT), shape=shape),
        node("y", "Neg", "x", T=Type(FLOAT)),
    ]
    path = hostile.write(tmp_path / "m.meta", *nodes)
    layer = GraphLayer(path, inputs="x", outputs="y")
    assert layer.get_config()["program"]["inputs"][0]["shape"] == (None, None)
    assert np.all(layer(np.ones([2, 3], "float32")) == -1)


READERS: dict[str, dict[str, Any]] = {
    "ImmutableConst": {
        "dtype": Type(FLOAT),
        "shape": tf.TensorShape([2]),
        "memory_region_name": "secret",
    },
    "FixedUnigramCandidateSampler": {
        "num_true": 1,
        "num_sampled": 1,
        "unique": False,
        "range_max": 3,
        "vocab_file": "secret",
    },
    "Abort": {"error_msg": "bye", "exit_without_error": True},
    "MatchingFiles": {},
    "ReadFile": {},
    "WholeFileReader": {"container": "", "shared_name": ""},
    "InitializeTableFromTextFileV2": {"key_index": 0, "value_index": 1},
    "LoadAndRemapMatrix": {"num_rows": 1, "num_cols": 1},
    "GenerateVocabRemapping": {"new_vocab_offset": 0, "num_new_vocab": 1},
    "DecodeProtoV2": {"descriptor_source": "secret", "message_type": "a"},
    "AudioSummary": {"sample_rate": 1.0},
    "RestoreV2": {"dtypes": [Type(FLOAT)]},
    "DebugIdentity": {"T": Type(FLOAT)},
    "RpcCall": {},
    "MlirPassthroughOp": {"mlir_module": "x"},
    "XlaCallModule": {"module": "x"},
    "_Send": {"tensor_name": "a"},
    "NoOperationOfThisName": {},
}


@pytest.mark.parametrize("op", READERS)
def test_s3_s4_an_operation_with_an_effect_never_reaches_tensorflow(
    op: str, tmp_path: Path
) -> None:
    given = "ids" if op == "FixedUnigramCandidateSampler" else ""
    path = hostile.write(
        tmp_path / "m.meta",
        placeholder("x", 2),
        const("ids", [[1]], tf.int64),
        node("bad", op, given, **READERS[op]),
        node("out", "Neg", "x ^bad", T=Type(FLOAT)),
    )
    report = list_graph(path)
    assert report.outputs[0].shape == (2,)
    assert [one.op for one in report.refused] == [op]
    with pytest.raises(ValueError, match=f"m.meta: .*of type {op} "):
        GraphLayer(path, inputs="x", outputs="out")


def test_s3_a_sampler_without_a_file_is_let_in(tmp_path: Path) -> None:
    path = hostile.write(
        tmp_path / "m.meta",
        node(
            "x",
            "Placeholder",
            dtype=Type(INT64),
            shape=tf.TensorShape([1, 1]),
        ),
        node(
            "pick",
            "FixedUnigramCandidateSampler",
            "x",
            num_true=1,
            num_sampled=2,
            unique=False,
            range_max=3,
            vocab_file="",
            unigrams=v1.AttrValue(list={"f": [1.0, 1.0, 1.0]}),
        ),
        node("out", "Identity", "pick:0", T=Type(INT64)),
    )
    layer = GraphLayer(path, inputs="x", outputs="out")
    assert layer(np.array([[1]])).shape == (2,)


BOUNDED: dict[str, tuple[str, dict[str, Any]]] = {
    "LogUniformCandidateSampler": (
        "range_max",
        {"num_true": 1, "num_sampled": 8, "range_max": 1 << 31},
    ),
    "UniformCandidateSampler": (
        "num_sampled",
        {"num_true": 1, "num_sampled": 1 << 30, "range_max": 9},
    ),
    "Split": ("num_split", {"num_split": 1 << 31, "T": Type(FLOAT)}),
    "Enter": ("parallel_iterations", {"parallel_iterations": 1 << 31}),
    "LRN": ("depth_radius", {"depth_radius": 1 << 40}),
    "Conv2D": ("dilations", {"dilations": [1, 1 << 40, 1, 1]}),
    "AsString": ("width", {"width": 1 << 30}),
    "AudioSpectrogram": ("window_size", {"window_size": 1 << 30}),
    "VariableV2": (
        "shape",
        {"dtype": Type(FLOAT), "shape": tf.TensorShape([1 << 40, 1 << 40])},
    ),
    "PrintV2": ("output_stream", {"output_stream": "file:///tmp/never"}),
    "Einsum": ("equation", {"equation": "a" * 5000}),
    "UnicodeDecode": ("input_encoding", {"input_encoding": "../secret"}),
    "Cast": ("DstT", {"SrcT": Type(FLOAT), "DstT": Type(999)}),
    "Identity": ("unheard_of", {"unheard_of": "text"}),
}


@pytest.mark.parametrize("op", BOUNDED)
def test_s6_s11_an_attribute_out_of_bounds_is_refused(
    op: str, tmp_path: Path
) -> None:
    name, attributes = BOUNDED[op]
    path = hostile.write(
        tmp_path / "m.meta",
        placeholder("x", 2),
        node("bad", op, "x", **attributes),
        node("out", "Neg", "x ^bad", T=Type(FLOAT)),
    )
    report = list_graph(path)
    assert report.outputs[0].shape == (2,)
    assert name in report.refused[0].reason
    with pytest.raises(ValueError, match=f"m.meta: .*{name}"):
        GraphLayer(path, inputs="x", outputs="out")


def test_s13_a_type_that_does_not_exist_is_named(tmp_path: Path) -> None:
    shape = tf.TensorShape([1])
    path = hostile.write(
        tmp_path / "m.meta",
        node("out", "VariableV2", dtype=Type(999), shape=shape),
    )
    with pytest.raises(ValueError, match=r"m\.meta: .*'out' .*999"):
        list_graph(path)


@pytest.mark.parametrize("op", ["TensorArrayV3", "TensorListReserve"])
def test_s11_a_list_of_billions_of_elements_is_refused(
    op: str, tmp_path: Path
) -> None:
    made = {
        "TensorArrayV3": node(
            "bad", op, "size", dtype=Type(FLOAT), tensor_array_name="a"
        ),
        "TensorListReserve": node(
            "bad",
            op,
            "shape size",
            element_dtype=Type(FLOAT),
            shape_type=Type(INT),
        ),
    }
    path = hostile.write(
        tmp_path / "m.meta",
        placeholder("x", 2),
        const("size", 2**31 - 1, tf.int32),
        const("shape", -1, tf.int32),
        made[op],
        node("out", "Neg", "x ^bad", T=Type(FLOAT)),
    )
    assert "elements" in list_graph(path).refused[0].reason


@pytest.mark.slow
def test_s1_constants_that_grow_take_no_memory_here(tmp_path: Path) -> None:
    hostile.write(
        tmp_path / "m.meta",
        const("zero", 0.0),
        const("big", [400_000_000], tf.int32),
        fill("filled", "big"),
        const("axis", [0], tf.int32),
        node("sum", "Sum", "filled axis", T=Type(FLOAT), Tidx=Type(INT)),
        node("whole", "Cast", "sum", SrcT=Type(FLOAT), DstT=Type(INT)),
        node("dims", "Pack", "whole", T=Type(INT), N=1, axis=0),
        fill("out", "dims"),
    )
    printed = hostile.run_alone(
        "print(tf1.list_graph('m.meta').outputs)", tmp_path
    )
    found = re.search(r"peak MiB (\d+)", printed)
    assert found is not None
    assert int(found[1]) < 1000, printed


def write_negative(folder: Path) -> Path:
    """Writes a harmless graph, which negates two numbers."""
    return hostile.write(
        folder / "m.meta",
        placeholder("x", 2),
        node("out", "Neg", "x", T=Type(FLOAT)),
    )


def test_s6_a_process_that_ends_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_negative(tmp_path)
    monkeypatch.setattr(shape_process, "ANSWER_SECONDS", 0.5)
    os.kill(shape_process._PROCESS._get()[0].pid, signal.SIGSTOP)
    with pytest.raises(ValueError, match=r"m\.meta: .* took over 0\.5 seconds"):
        list_graph(path)
    monkeypatch.undo()
    assert list_graph(path).outputs[0].shape == (2,)


def test_s6_a_process_that_ends_while_it_waits_is_no_fault_of_the_graph(
    tmp_path: Path,
) -> None:
    path = write_negative(tmp_path)
    process, _ = shape_process._PROCESS._get()
    # It has not ended when it is asked, and does not answer.
    os.kill(process.pid, signal.SIGSTOP)
    timer = threading.Timer(0.5, process.kill)
    timer.start()
    assert list_graph(path).outputs[0].shape == (2,)
    timer.join()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_s6_a_shape_function_that_ends_its_process_is_one_line(
    tmp_path: Path,
) -> None:
    hostile.write(
        tmp_path / "m.meta",
        node("indices", "Placeholder", dtype=Type(INT64)),
        placeholder("values", 4),
        # In TensorFlow 2.21 a failed check ends the process.
        const("shape", [-5, -1], tf.int64),
        const("axes", [0], tf.int32),
        node(
            "out",
            "SparseReduceMax",
            "indices values shape axes",
            T=Type(FLOAT),
            keep_dims=True,
        ),
    )
    code = (
        "print(tf1.list_graph('m.meta'))\n"
        "except ValueError as error: print('error', error)\n"
        "try:\n"
        "    tf1.GraphLayer('m.meta', inputs='values', outputs='out')"
    )
    printed = hostile.run_alone(code, tmp_path)
    one_line = "error m.meta: TensorFlow (ended on this|does not accept the)"
    assert re.search(f"{one_line} graph|likely outputs: 1", printed), printed
    assert "ValueError m.meta: " in printed


def test_a_process_that_cannot_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_negative(tmp_path)
    shape_process._PROCESS.close()
    monkeypatch.setattr("sys.executable", str(tmp_path / "missing"))
    with pytest.raises(ValueError, match=r"m\.meta: .* did not start"):
        list_graph(path)


@pytest.mark.slow
def test_the_process_can_open_and_write_nothing_and_ends_with_this_one(
    tmp_path: Path,
) -> None:
    path = write_negative(tmp_path)
    list_graph(path)
    process = shape_process._PROCESS._process
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits")
    if limits.exists():
        text = limits.read_text()
        for name in ("open files", "file size", "core file size"):
            assert re.search(rf"Max {name} +0 +0 ", text), text
        assert not re.search(r"Max address space +unlimited", text)
    code = (
        f"tf1.list_graph({str(path)!r}); "
        "from keras_port.tf1.graph.select import shape_process as s; "
        "print('pid', s._PROCESS._process.pid)"
    )
    printed = hostile.run_alone(code, tmp_path)
    found = re.search(r"pid (\d+)", printed)
    assert found is not None
    assert not Path(f"/proc/{found[1]}").exists()


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("variables", "dtype", "float33"),
        ("variables", "shape", [-1, 2]),
        ("variables", "shape", ["a"]),
        ("variables", "name", 7),
        ("variables", "identity", None),
        ("inputs", "dtype", "float33"),
        ("inputs", "dtype", 999),
        ("inputs", "shape", [-7]),
        ("inputs", "key", ""),
        ("inputs", "key", None),
        ("feeds", "dtype", "x"),
        ("feeds", "otherwise", {"a": 1}),
        ("outputs", 0, 7),
        ("outputs", 0, "out:9"),
        ("updates", None, 7),
        ("losses", None, ["nothing:0"]),
        ("graph", None, ""),
        ("graph_bytes", None, -1),
    ],
)
def test_s13_a_configuration_that_was_changed_is_one_clear_error(
    part: str, key: Any, value: Any, tmp_path: Path
) -> None:
    path = hostile.write(
        tmp_path / "m.meta",
        placeholder("x", None, 2),
        placeholder("scale"),
        node("w", "VariableV2", dtype=Type(FLOAT), shape=tf.TensorShape([2])),
        node("sum", "Add", "x w", T=Type(FLOAT)),
        node("out", "Mul", "sum scale", T=Type(FLOAT)),
    )
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"),
        tensor_names=["w"],
        shape_and_slices=[""],
        tensors=[tf.ones([2])],
    )
    layer = GraphLayer(
        path, inputs="x", outputs="out", constants={"scale": 2.0}
    )
    config = layer.get_config()
    program = config["program"]
    if key is None:
        program[part] = value
    elif part == "outputs":
        program[part][key] = value
    else:
        program[part][0][key] = value
    with pytest.raises(ValueError, match=r"GraphLayer|graph|operation"):
        GraphLayer.from_config(config, safe_mode=False)


def test_s12_names_of_a_file_are_printed_without_their_escapes(
    tmp_path: Path,
) -> None:
    name = "W\n  refused: 0\n\x1b[2J"
    path = hostile.write(
        tmp_path / "m.meta",
        node(name, "VariableV2", dtype=Type(FLOAT), shape=tf.TensorShape([1])),
        node("a\x1b[31m", "PyFunc\x1b[31m"),
        outputs=(),
    )
    text = str(list_graph(path))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 6
    for arguments in (
        {"inputs": "a", "outputs": "b\x1b[31m"},
        {"inputs": name, "outputs": "a\x1b[31m"},
    ):
        with pytest.raises(ValueError, match=r"m\.meta") as caught:
            GraphLayer(path, **arguments)
        assert "\x1b" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "device", "directory"])
def test_s9_a_meta_that_is_no_file_is_refused_at_once(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.meta"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    error = FileNotFoundError if kind == "directory" else ValueError
    says = "m.meta holds no" if kind == "directory" else f"m.meta is a {kind}"
    with pytest.raises(error, match=re.escape(says)):
        list_graph(path)


def test_marks_and_devices_of_a_file_never_reach_tensorflow(
    tmp_path: Path,
) -> None:
    out = node(
        "out",
        "Neg",
        "x",
        T=Type(FLOAT),
        _class=v1.AttrValue(list={"s": [b"loc:@nothing"]}),
        _output_shapes=[tf.TensorShape([7])],
        _XlaMustCompile=True,
        _kernel="other",
    )
    out.device = "/job:worker/device:TPU:0"
    out.experimental_debug_info.original_node_names.append("x" * 1000)
    path = hostile.write(tmp_path / "m.meta", placeholder("x", 2), out)
    assert list_graph(path).outputs[0].shape == (2,)
    layer = GraphLayer(path, inputs="x", outputs="out")
    assert np.all(layer(np.ones([2], "float32")) == -1)


def test_a_constant_that_is_a_handle_is_refused(tmp_path: Path) -> None:
    handle = node("bad", "Const", dtype=Type(tf.resource.as_datatype_enum))
    handle.attr["value"].tensor.dtype = tf.resource.as_datatype_enum
    handle.attr["value"].tensor.resource_handle_val.add(name="anything")
    path = hostile.write(
        tmp_path / "m.meta",
        placeholder("x", 2),
        handle,
        node("out", "Neg", "x ^bad", T=Type(FLOAT)),
    )
    assert "handle" in list_graph(path).refused[0].reason


@pytest.mark.slow
def test_many_placeholders_take_neither_time_nor_memory(tmp_path: Path) -> None:
    count = 20_000
    nodes = [placeholder(f"x{n}", 2) for n in range(count)]
    nodes += [
        node(
            f"y{n}", "AddV2", f"y{n - 1} x{n}" if n else "x0 x1", T=Type(FLOAT)
        )
        for n in range(count)
    ]
    hostile.write(tmp_path / "m.meta", *nodes, outputs=())
    printed = hostile.run_alone(
        "print(tf1.list_graph('m.meta').operations)", tmp_path
    )
    assert "40000" in printed


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("x" * 5000, "NoOp")], "5,000 characters"),
        ([node(f"x{n}", "NoOp") for n in range(500_001)], "500,001 operations"),
    ],
    ids=["name", "count"],
)
def test_a_graph_larger_than_any_model_is_refused(
    nodes: list[Any], message: str, tmp_path: Path
) -> None:
    path = hostile.write(tmp_path / "m.meta", *nodes, outputs=())
    with pytest.raises(ValueError, match=rf"m\.meta: .*{message}"):
        list_graph(path)


def test_r20_every_operation_of_tensorflow_was_judged() -> None:
    from keras_port.tf1.graph.read import operations
    from keras_port.tf1.graph.select.refusals import classify

    names = hostile.list_all_operations()
    assert len(names) > 1500
    unknown = let_in.LET_IN - set(names)
    assert not unknown, f"let in, but not in TensorFlow: {sorted(unknown)}"
    nobody = [
        name
        for name in sorted(names)
        if name not in let_in.LET_IN
        and name not in operations.PLACEHOLDERS
        and not classify(name)
    ]
    assert not nobody, (
        f"nobody has judged {nobody}: add each one to `let_in.py`, if all it "
        "does is to compute with its inputs, or to `KINDS` in `refusals.py`"
    )


def test_r20_every_attribute_of_what_is_let_in_was_judged() -> None:
    names = hostile.list_all_operations()
    texts, numbers = set(), set()
    for op in let_in.LET_IN:
        for attribute in names[op].attr:
            if attribute.type in ("string", "list(string)"):
                texts.add(attribute.name)
            if attribute.type in ("int", "list(int)"):
                numbers.add(attribute.name)
    assert texts == set(let_in.TEXTS)
    assert set(let_in.LIMITS) <= numbers
    # These have the general limit: positions of axes, masks, and the like.
    assert numbers - set(let_in.LIMITS) == set(
        """
        axis batch_dim batch_dims begin_mask blank_index compression concat_dim
        ellipsis_mask end_mask first_n k maxlength maxsplit minlength
        new_axis_mask num_elements quality ratio replacement_char select_cols
        seq_dim shard shrink_axis_mask squeeze_dims x_density y_density
        """.split()  # noqa: SIM905 (easier to read)
    )


def test_r20_only_the_gate_hands_operations_to_tensorflow() -> None:
    found = [
        checkout.name(path)
        for path in checkout.sources("keras_port")
        if re.search(r"\bimport_(graph_def|meta_graph)\(", path.read_text())
    ]
    assert found == ["keras_port/tf1/graph/select/gate.py"]


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.attr["vocab_file"].__setattr__("s", b"secret"),
        lambda one: setattr(one, "op", "ReadFile"),
        lambda one: one.attr["f"].func.__setattr__("name", "g"),
    ],
    ids=["text", "type", "function"],
)
def test_r20_the_gate_lets_nothing_in_that_nobody_checked(
    change: Callable[[Any], None],
) -> None:
    from keras_port.tf1.graph.select.gate import import_operations

    one = node("x", "NoOp")
    change(one)
    graph = v1.GraphDef(node=[one])
    with (
        tf.Graph().as_default(),
        pytest.raises(ValueError, match="The operation 'x' of type"),
    ):
        import_operations(graph, return_elements=["x"])
