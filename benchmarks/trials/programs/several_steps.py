"""Makes several steps in one call of the training function."""

import pathlib
import sys

from benchmarks.trials.programs import parts


def main(workdir: pathlib.Path) -> None:
    """Trains, and writes what it ends with."""
    model = parts.build_model(dropout=0.3)
    parts.compile_model(model, steps_per_execution=3)
    callbacks = parts.make_callbacks(workdir)
    history = parts.fit(model, workdir / "state", callbacks, save_freq=3)
    parts.write_end(workdir, model, history)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
