"""The command line of a script: no noise, and bad input is one line.

It is imported before TensorFlow, whose libraries write while they are loaded.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import gc
import logging as python_logging
import os
import pathlib
import sys
from typing import NoReturn

# Without a GPU TensorFlow reports the missing driver as an error, which a
# reader would take for one. What matters is raised as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keeps TensorFlow's libraries from writing while they are loaded.

    They write before they have read the level of the line above. An exception
    of Python is shown all the same, after the block.
    """
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextlib.contextmanager
def no_garbage() -> Iterator[None]:
    """Keeps Python from looking for garbage while modules are loaded.

    They are 450,000 objects that stay to the end. To look through them takes
    a fifth of the time to load them, and again in each later search and at the
    end of the process, where it takes most of a second.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


with quiet_stderr(), no_garbage():
    from absl import app
    from absl import flags
    from absl import logging

    import keras_port  # noqa: F401 (loads TensorFlow and Keras)


def run(main: Callable[[], None]) -> None:
    """Runs a script: bad input is one line on stderr, never a traceback.

    The exit code is 2 for flags that cannot be, 1 for everything else that
    the user can mend.
    """
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(
        python_logging.Formatter("%(message)s")
    )
    logging.set_verbosity(logging.INFO)
    if {"--help", "-h"} & set(sys.argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True)
        return
    try:
        _, *rest = flags.FLAGS(sys.argv)
        if rest:
            raise flags.Error(f"Unexpected argument {rest[0]!r}")
    except flags.Error as error:
        fail(f"{error}. See --help.", code=2)
    try:
        main()
    except (OSError, ValueError) as error:
        fail(str(error), code=1)
    except KeyboardInterrupt:
        fail("Ended at once. The same command resumes.", code=1)
    # All files are closed, and the system takes the memory.
    gc.freeze()


def fail(message: str, *, code: int) -> NoReturn:
    """Ends the process with one line on stderr."""
    line = " ".join(message.split())
    sys.stderr.write(f"{pathlib.Path(sys.argv[0]).name}: {line}\n")
    sys.exit(code)
