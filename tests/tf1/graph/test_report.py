"""The report shows what a user without the code needs to know."""

from pathlib import Path

import pytest
import tensorflow as tf

from keras_port.tf1 import list_graph
from tests.tf1.graph import programs
from tests.tf1.graph.programs import Mode
from tests.tf1.graph.programs import default_graph
from tests.tf1.graph.sessions import run

v1 = tf.compat.v1


@pytest.mark.parametrize(
    ("program", "output"),
    [
        (programs.perceptron, "y"),
        (programs.cnn, "y"),
        (programs.residual_network, "predictions"),
        (programs.lstm_classifier, "probabilities"),
        (programs.text_cnn, "probabilities"),
    ],
)
@pytest.mark.parametrize("mode", [programs.MODES[0], programs.MODES[3]])
def test_the_prediction_is_among_the_likely_outputs(
    program: programs.Program, output: str, mode: Mode, tmp_path: Path
) -> None:
    # With the whole training in the graph: loss, gradients, Saver.
    with default_graph(mode):
        built = program()
        y = v1.placeholder(tf.float32, built.output.shape, name="labels")
        loss = -tf.reduce_sum(y * v1.log(built.output))
        v1.train.AdamOptimizer().minimize(loss)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "m"))
    report = list_graph(tmp_path)
    names = [entry.name for entry in report.outputs]
    assert output in names
    assert len(names) <= 3, names
    assert {one.op.name for one in built.inputs} <= {
        entry.name for entry in report.inputs
    }
    assert not report.refused


def test_variables_have_shapes_types_and_whether_they_were_trained(
    tmp_path: Path,
) -> None:
    run(programs.batch_norm_fused, Mode("ref", "v1"), tmp_path)
    report = list_graph(tmp_path / "model.ckpt")
    assert [str(one) for one in report.variables] == [
        "bn/gamma (3,) float32, trained",
        "bn/beta (3,) float32, trained",
        "bn/moving_mean (3,) float32, not trained",
        "bn/moving_variance (3,) float32, not trained",
    ]
    assert [one.name for one in report.settings] == ["is_training"]
    assert "is_training () bool" in str(report)


def test_what_would_be_refused_is_listed(tmp_path: Path) -> None:
    with default_graph(Mode("ref", "v1")):
        h = tf.matmul(programs.rows(6), programs.weight("w", 6, 6))
        tf.identity(v1.py_func(abs, [h], tf.float32, name="odd"), name="out")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "m"))
    (refused,) = list_graph(tmp_path).refused
    assert refused.name == "odd"
    assert "Python" in str(refused)
