"""Freezes a layer, trains, thaws it, compiles again, and trains."""

import pathlib
import sys

import keras

from benchmarks.trials.programs import parts


def main(workdir: pathlib.Path) -> None:
    """Trains in two parts, and writes what it ends with."""
    model = parts.build_model(dropout=0.3)
    histories = []
    for trainable, rate in ((False, 0.05), (True, 0.01)):
        model.get_layer("base").trainable = trainable
        parts.compile_model(model, keras.optimizers.Adam(rate))
        callbacks = parts.make_callbacks(workdir)[:2]
        histories.append(
            parts.fit(model, workdir / "state", callbacks, batches=16)
        )
    parts.write_end(workdir, model, *histories)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
