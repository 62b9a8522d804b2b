"""Adds up the gradients of three batches; reads on from the next batch."""

import pathlib
import sys

import keras

from benchmarks.trials.programs import parts
from keras_port import callbacks

BATCHES = 45


def main(workdir: pathlib.Path) -> None:
    """Trains, and writes what it ends with."""
    model = parts.build_model()
    optimizer = keras.optimizers.Adam(0.05, gradient_accumulation_steps=3)
    parts.compile_model(model, optimizer)
    state = callbacks.TrainingState(workdir / "state", save_freq=2)
    terminate = callbacks.TerminateOnSignal()
    history = model.fit(
        parts.make_batches(start_batch=state.batches_seen),
        steps_per_epoch=BATCHES - state.batches_seen,
        callbacks=[*parts.make_callbacks(workdir), state, terminate],
        verbose=0,
    )
    if not terminate.received:
        parts.write_end(workdir, model, history.history)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
