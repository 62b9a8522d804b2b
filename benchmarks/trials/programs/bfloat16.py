"""Computes in bfloat16, with float32 weights."""

import pathlib
import sys

import keras

from benchmarks.trials.programs import parts


def main(workdir: pathlib.Path) -> None:
    """Trains, and writes what it ends with."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = parts.build_model(dropout=0.3)
    parts.compile_model(model)
    callbacks = parts.make_callbacks(workdir)
    history = parts.fit(model, workdir / "state", callbacks)
    parts.write_end(workdir, model, history)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
