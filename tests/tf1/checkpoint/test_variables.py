"""A listing says what each variable of a checkpoint is."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import CheckpointVariable
from keras_port.tf1 import list_variables
from tests.tf1.sessions import GOLDEN
from tests.tf1.sessions import counted
from tests.tf1.sessions import small_program
from tests.tf1.sessions import write

v1 = tf.compat.v1


def kinds(path: Path) -> dict[str, str]:
    """Returns how each variable is described, by its name."""
    return {
        variable.name: str(variable).rpartition(", ")[2]
        for variable in list_variables(path)
    }


@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_the_perceptron_is_two_weights(version: str) -> None:
    assert list_variables(GOLDEN / version) == [
        CheckpointVariable("W", (784, 10), "float32", "weight"),
        CheckpointVariable("b", (10,), "float32", "weight"),
    ]


def test_adam_s_slots_belong_to_their_variables(tmp_path: Path) -> None:
    with small_program(lambda: v1.train.AdamOptimizer()) as program:
        program.save(tmp_path / "m")
    found = list_variables(tmp_path / "m")
    assert [v.name for v in found if v.kind == "weight"] == [
        "Variable",
        "Variable_1",
        "Variable_2",
        "Variable_3",
    ]
    assert {(v.of, v.slot) for v in found if v.kind == "slot"} == {
        (f"Variable{number}", slot)
        for number in ("", "_1", "_2", "_3")
        for slot in ("Adam", "Adam_1")
    }
    assert [v.name for v in found if v.kind == "step"] == [
        "beta1_power",
        "beta2_power",
        "global_step",
    ]
    assert len(found) == 15


def test_an_optimizer_inside_a_scope_is_recognised(tmp_path: Path) -> None:
    with small_program(
        lambda: v1.train.AdamOptimizer(), scope="net"
    ) as program:
        program.save(tmp_path / "m")
    found = {v.name: v for v in list_variables(tmp_path / "m")}
    # TensorFlow 1 has put the scope in front of the slot once more.
    assert found["net/net/Variable/Adam"].of == "net/Variable"
    assert found["net/beta1_power"].kind == "step"


@pytest.mark.fault("W5")
@pytest.mark.parametrize("scope", ["", "dnn"])
@pytest.mark.parametrize("parts", [1, 2])
def test_slots_of_partitioned_variables_are_recognised(
    tmp_path: Path, scope: str, parts: int
) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        inside = v1.variable_scope(scope) if scope else contextlib.nullcontext()
        with inside:
            W = v1.get_variable(
                "hiddenlayer_0/weights",
                (6, 2),
                partitioner=v1.fixed_size_partitioner(parts),
                use_resource=False,
            )
            loss = tf.reduce_sum(tf.square(tf.convert_to_tensor(W)))
            v1.train.RMSPropOptimizer(0.1).minimize(loss)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "m"))
    found = list_variables(tmp_path / "m")
    name = f"{scope}/hiddenlayer_0/weights".removeprefix("/")
    assert [v.name for v in found if v.kind == "weight"] == [name]
    assert {(v.of, v.slot) for v in found if v.kind == "slot"} == {
        (name, "RMSProp"),
        (name, "RMSProp_1"),
    }


@pytest.mark.fault("W5")
def test_slots_of_real_partitioned_variables_are_recognised(
    tmp_path: Path,
) -> None:
    age, hidden = "linear/linear_model/Age/weights", "dnn/hiddenlayer_0/weights"
    path = write(
        tmp_path / "m",
        {
            age: counted(1, 1),
            f"{age}/part_0/Ftrl": counted(1, 1),
            f"{age}/part_0/Ftrl_1": counted(1, 1),
            hidden: counted(4, 3),
            f"{hidden}/yer_0/weights/part_0/RMSProp": counted(4, 3),
            f"{hidden}/yer_0/weights/part_0/other": counted(3),
        },
    )
    assert kinds(path) == {
        age: "weight",
        f"{age}/part_0/Ftrl": f"slot Ftrl of {age}",
        f"{age}/part_0/Ftrl_1": f"slot Ftrl_1 of {age}",
        hidden: "weight",
        f"{hidden}/yer_0/weights/part_0/RMSProp": f"slot RMSProp of {hidden}",
        f"{hidden}/yer_0/weights/part_0/other": "weight",
    }


def test_moving_averages_custom_slots_and_counters(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m",
        {
            "W": counted(2, 3),
            "W/ExponentialMovingAverage": counted(2, 3),
            "W/MyAdam_1": counted(2, 3),
            "bn/beta": counted(3),
            "bn/beta1_power": np.float32(0.9),
            "epoch": np.int32(3),
            "global_step": np.int64(7),
            "rate": np.float32(0.1),
        },
    )
    assert kinds(path) == {
        "W": "weight",
        "W/ExponentialMovingAverage": "slot ExponentialMovingAverage of W",
        "W/MyAdam_1": "slot MyAdam_1 of W",
        "bn/beta": "weight",
        "bn/beta1_power": "step",
        "epoch": "other",
        "global_step": "step",
        "rate": "weight",
    }


def test_a_variable_of_another_shape_is_no_slot(tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"a": counted(2), "a/b": counted(3)})
    assert kinds(path) == {"a": "weight", "a/b": "weight"}


def test_numbers_are_sorted_by_value(tmp_path: Path) -> None:
    names = [f"v_{number}" for number in range(12)]
    path = write(tmp_path / "m", dict.fromkeys(names, counted(1)))
    assert [v.name for v in list_variables(path)] == names
