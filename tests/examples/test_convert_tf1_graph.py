"""The example makes a new model from old files, and evaluates it."""

from collections.abc import Callable
from pathlib import Path

import convert_tf1_graph
import numpy as np
import pytest


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
    assert "likely outputs: 1\n    y (None, 10) float32" in out
    assert "keep_prob" in out
    last = out.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'model.keras'}: the old network names")
    assert last.endswith("loaded again, its predictions are the same.")
    accuracy = float(last.split(" names ")[1].split()[0])
    # 20 steps are enough for far more than one in ten.
    assert accuracy > 0.3
    # From the files alone.
    meta = f"--meta={tmp_path / 'old' / 'model.ckpt.meta'}"
    code, again, _ = run_script(convert_tf1_graph, *flags, meta)
    assert code == 0
    assert np.isclose(
        float(again.splitlines()[-1].split(" names ")[1].split()[0]), accuracy
    )
    error = fails_in_one_line(
        convert_tf1_graph, *flags, meta, "--outputs=yy", code=1
    )
    assert "Nearest: y" in error
