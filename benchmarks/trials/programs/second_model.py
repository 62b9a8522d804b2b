"""Trains a model, then a second one in another directory, from the first."""

import pathlib
import sys

from benchmarks.trials.programs import parts


def main(workdir: pathlib.Path) -> None:
    """Trains two models, and writes what the second one ends with."""
    histories = []
    weights = None
    for name in ("first", "second"):
        model = parts.build_model(dropout=0.3)
        if weights is not None:
            model.set_weights([value / 2 for value in weights])
        parts.compile_model(model)
        callbacks = parts.make_callbacks(workdir)[:2]
        histories.append(
            parts.fit(model, workdir / name, callbacks, batches=16)
        )
        weights = model.get_weights()
    parts.write_end(workdir, model, *histories)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
