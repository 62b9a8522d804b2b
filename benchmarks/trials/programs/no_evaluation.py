"""Trains with metrics, without evaluations."""

import pathlib
import sys

from benchmarks.trials.programs import parts


def main(workdir: pathlib.Path) -> None:
    """Trains, and writes what it ends with."""
    model = parts.build_model(dropout=0.3)
    parts.compile_model(model)
    history = parts.fit(model, workdir / "state", [])
    parts.write_end(workdir, model, history)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
