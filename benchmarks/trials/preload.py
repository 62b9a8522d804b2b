"""Imports what the programs need, once for all processes that are forked.

No operation may run here: a process that is forked after TensorFlow has made
its threads would wait for threads that it does not have.
"""

from collections.abc import Iterator
import contextlib
import gc
import importlib
import os

PACKAGES = (
    *("h5py", "keras", "tensorflow"),
    *(
        f"keras_port.{name}"
        for name in (
            *("callbacks", "checkpoints", "datasets", "distribution"),
            *("losses", "models", "optimizers", "runs", "tf1", "training"),
        )
    ),
)


@contextlib.contextmanager
def discard_stderr() -> Iterator[None]:
    """Discards what TensorFlow's libraries say of the machine."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with discard_stderr():
    for _name in PACKAGES:
        importlib.import_module(_name)
# Forked processes share what is there.
gc.freeze()
