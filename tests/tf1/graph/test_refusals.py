"""Operations that must not run are refused by name, before any runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import GraphLayer
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.programs import default_graph

v1 = tf.compat.v1
EARLY = Mode("ref", "v1")


def saved(folder: Path, build: Callable[[Any], Any]) -> Path:
    """Saves a graph with one variable and whatever `build` adds to it."""
    with default_graph(EARLY):
        x = programs.rows(6)
        h = tf.matmul(x, programs.weight("w", 6, 6), name="h")
        tf.identity(build(h), name="out")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(folder / "model.ckpt"))
    return folder


def refusal(folder: Path, **arguments: Any) -> str:
    """Returns the message of the refusal."""
    given = {"inputs": "x", "outputs": "out", **arguments}
    with pytest.raises(ValueError, match="model") as caught:
        GraphLayer(folder, **given)
    return str(caught.value)


def after(op: Any, h: Any) -> Any:
    """Returns `h` once an operation has run."""
    with tf.control_dependencies([op]):
        return tf.identity(h)


def py_func(h: Any) -> Any:
    made = v1.py_func(lambda a: a * 2, [h], tf.float32, name="bad")
    made.set_shape([None, 6])
    return made


def queue(h: Any) -> Any:
    q = v1.FIFOQueue(10, [tf.float32], shapes=[[4, 6]], name="q")
    return h + q.dequeue(name="bad")


def read_file(h: Any) -> Any:
    return after(tf.io.read_file("/etc/hostname", name="bad"), h)


def write_file(h: Any) -> Any:
    return after(tf.io.write_file("/tmp/never", "x", name="bad"), h)


def matching_files(h: Any) -> Any:
    return after(tf.raw_ops.MatchingFiles(pattern="/*", name="bad"), h)


def print_to_file(h: Any) -> Any:
    op = tf.raw_ops.PrintV2(
        input="x", output_stream="file:///tmp/never", name="bad"
    )
    return after(op, h)


def debug(h: Any) -> Any:
    return tf.raw_ops.DebugIdentity(
        input=h, debug_urls=["file:///tmp/never"], name="bad"
    )


def table(h: Any) -> Any:
    # A session has put values into it that are in no file.
    made = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)
    found = tf.raw_ops.LookupTableFindV2(
        table_handle=made.resource_handle,
        keys=["a"],
        default_value=tf.constant(0.0),
        name="bad",
    )
    return h + found


def training(h: Any) -> Any:
    w = v1.get_variable("v", initializer=tf.zeros([6]))
    op = v1.train.GradientDescentOptimizer(0.1, name="bad").minimize(
        tf.reduce_sum(h + w), name="bad"
    )
    return after(op, h)


def restore(h: Any) -> Any:
    read = tf.raw_ops.RestoreV2(
        prefix="/tmp/x",
        tensor_names=["a"],
        shape_and_slices=[""],
        dtypes=[tf.float32],
        name="bad",
    )
    return h + read[0]


@pytest.mark.parametrize(
    ("build", "kind", "reason"),
    [
        (py_func, "PyFunc", "Python"),
        (queue, "Queue", "reads input"),
        (read_file, "ReadFile", "touches files"),
        (write_file, "WriteFile", "touches files"),
        (matching_files, "MatchingFiles", "touches files"),
        (print_to_file, "PrintV2", "touches files"),
        (debug, "DebugIdentity", "debugger"),
        (table, "Table", "table"),
        (training, "Apply", "trains"),
        (restore, "RestoreV2", "touches files"),
    ],
)
def test_an_operation_is_refused_with_its_name_and_the_reason(
    build: Callable[[Any], Any], kind: str, reason: str, tmp_path: Path
) -> None:
    message = refusal(saved(tmp_path, build))
    assert "model.ckpt.meta" in message
    assert kind in message
    assert reason in message


def test_what_the_outputs_do_not_need_is_not_refused(tmp_path: Path) -> None:
    layer = GraphLayer(saved(tmp_path, py_func), inputs="x", outputs="h")
    assert layer(programs.data(2, 6)).shape == (2, 6)


def test_a_file_cannot_smuggle_in_what_is_refused(tmp_path: Path) -> None:
    layer = GraphLayer(
        saved(tmp_path, lambda h: tf.tanh(h, name="tame")),
        inputs="x",
        outputs="out",
    )
    config = layer.get_config()
    program = layer._network.program
    for node in program.graph.node:
        if node.name == "tame":
            node.op = "ReadFile"
            node.attr.clear()
    config["program"] = program.to_config()
    with pytest.raises(ValueError, match="'tame' of type ReadFile"):
        GraphLayer.from_config(config, safe_mode=False)


def test_a_gradient_that_was_python_is_refused_unless_frozen(
    tmp_path: Path,
) -> None:
    @tf.custom_gradient
    def halved(h: Any) -> Any:
        return h * 2, lambda upstream: upstream / 2

    folder = saved(tmp_path, halved)
    assert "`trainable=False`" in refusal(folder)
    layer = GraphLayer(folder, inputs="x", outputs="out", trainable=False)
    assert not layer.trainable_variables
    assert np.isfinite(layer(programs.data(2, 6))).all()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"inputs": "y"}, ["`inputs`", "'y'"]),
        ({"outputs": "ouut"}, ["`outputs`", "'ouut'", "Nearest", "out"]),
        ({"outputs": "OUT:0"}, ["Nearest: out"]),
        ({"outputs": "out:x"}, ["names of tensors", "'out:x'"]),
        ({"outputs": []}, ["at least one"]),
        ({"outputs": ["out", "out:0"]}, ["once"]),
        ({"inputs": "w"}, ["Placeholder", "'x'", "`inputs` or `constants`"]),
        ({"constants": {"keep": 1.0}}, ["`constants`", "'keep'"]),
        ({"constants": {"x": 1.0}}, ["`constants`", "`inputs`"]),
        ({"constants": {"h": (1.0, 2.0)}}, ["Phase(training="]),
        ({"constants": {"h": "many"}}, ["float32", "'many'"]),
        ({"constants": {"h": 1.0}}, ["shape"]),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(
    arguments: dict[str, Any], parts: list[str], tmp_path: Path
) -> None:
    message = refusal(saved(tmp_path, tf.tanh), **arguments)
    for part in parts:
        assert part in message


def test_a_value_that_is_missing_is_named_with_the_nearest_key(
    tmp_path: Path,
) -> None:
    folder = saved(tmp_path, tf.tanh)
    with tf.Graph().as_default(), v1.Session() as session:
        other = v1.get_variable("w_1", initializer=tf.zeros([6, 6]))
        session.run(other.initializer)
        v1.train.Saver().save(session, str(folder / "other"))
    with pytest.raises(ValueError, match=r"no value for 'w'.*Nearest: w_1"):
        GraphLayer(
            folder / "model.ckpt.meta",
            inputs="x",
            outputs="out",
            checkpoint=folder / "other",
        )


def test_a_value_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, tf.tanh)
    with tf.Graph().as_default(), v1.Session() as session:
        other = v1.get_variable("w", initializer=tf.zeros([6, 5]))
        session.run(other.initializer)
        v1.train.Saver().save(session, str(folder / "other"))
    message = refusal(folder / "model.ckpt.meta", checkpoint=folder / "other")
    assert "(6, 5)" in message
    assert "(6, 6)" in message
