"""Calls `fit` twice with the same model and its optimizer."""

import pathlib
import sys

from benchmarks.trials.programs import parts


def main(workdir: pathlib.Path) -> None:
    """Trains in two parts, and writes what it ends with."""
    model = parts.build_model(dropout=0.3)
    parts.compile_model(model)
    histories = []
    for batches in (15, 18):
        callbacks = parts.make_callbacks(workdir)[:2]
        histories.append(
            parts.fit(model, workdir / "state", callbacks, batches=batches)
        )
    parts.write_end(workdir, model, *histories)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
