"""Trains on the examples of every batch that have a high loss."""

import pathlib
import sys

from benchmarks.trials.programs import parts
from keras_port import training


def main(workdir: pathlib.Path) -> None:
    """Trains, and writes what it ends with."""
    model = parts.build_model()
    parts.compile_model(
        model, example_selection=training.HardExamples(4, warmup_batches=6)
    )
    callbacks = parts.make_callbacks(workdir)
    history = parts.fit(model, workdir / "state", callbacks)
    parts.write_end(workdir, model, history)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
