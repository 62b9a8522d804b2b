"""The example makes a new model from old files, and evaluates it."""

from collections.abc import Callable
from pathlib import Path

import convert_tf1_graph
import numpy as np
import pytest
import tensorflow as tf


@pytest.mark.slow
@pytest.mark.usefixtures("small_validation")
def test_it_converts_what_it_has_written(
    run_script: Callable[..., tuple[int, str, str]],
    fails_in_one_line: Callable[..., str],
    tmp_path: Path,
    data_dir: Path,
) -> None:
    data = f"--data_dir={data_dir}"
    flags = [f"--workdir={tmp_path}", data, "--max_steps=2"]
    code, out, err = run_script(convert_tf1_graph, *flags, "--old_steps=20")
    assert code == 0, err
    assert "likely outputs: " in out
    assert "    y (None, 10) float32" in out
    assert "keep_prob" in out
    last = out.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'model.keras'}: the old network names")
    assert last.endswith("loaded again, its predictions are the same.")
    accuracy = float(last.split(" names ")[1].split()[0])
    # 20 steps are enough for far more than one in ten.
    assert accuracy > 0.3
    # From the files alone.
    freeze(tmp_path / "old", tmp_path / "frozen.pb")
    for path in ("old", "frozen.pb"):
        graph = f"--graph={tmp_path / path}"
        code, again, _ = run_script(convert_tf1_graph, *flags, graph)
        assert code == 0
        assert np.isclose(
            float(again.splitlines()[-1].split(" names ")[1].split()[0]),
            accuracy,
        )
    error = fails_in_one_line(
        convert_tf1_graph, *flags, graph, "--outputs=yy", code=1
    )
    assert "Nearest: y" in error


def freeze(folder: Path, path: Path) -> None:
    """Writes a checkpoint and its graph as a frozen graph."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        prefix = str(folder / "model.ckpt")
        v1.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        graph = v1.graph_util.convert_variables_to_constants(
            session, session.graph_def, ["y"]
        )
    path.write_bytes(graph.SerializeToString())
