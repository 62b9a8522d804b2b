"""Trains with dropout, a schedule, clipping, curves, and an early end."""

import pathlib
import sys

import keras

from benchmarks.trials.programs import parts
from keras_port import callbacks


def main(workdir: pathlib.Path) -> None:
    """Trains, and writes what it ends with."""
    model = parts.build_model(dropout=0.5)
    schedule = keras.optimizers.schedules.CosineDecay(0.3, parts.STEPS)
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=0.5)
    parts.compile_model(model, optimizer)
    curves = callbacks.TensorBoard(
        workdir / "logs", update_freq=2, histogram_freq=6, overwrite=True
    )
    listed = [*parts.make_callbacks(workdir, patience=4), curves]
    history = parts.fit(model, workdir / "state", listed)
    parts.write_end(workdir, model, history)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
