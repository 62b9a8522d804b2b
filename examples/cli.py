"""What the scripts share: imports without noise, flags, and short messages.

Importing this module has no effect. A script calls what it needs by name:

    with cli.quiet_imports():
        import keras

        from keras_port import models

    if __name__ == "__main__":
        define_flags()
        cli.run(main)
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import gc
import logging as python_logging
import os
import pathlib
import re
import sys
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

from absl import app
from absl import flags
from absl import logging

if TYPE_CHECKING:
    from keras_port import runs

# So that --help of a script lists the flags that are defined here for it.
flags.disclaim_key_flags()

PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
# Instruction sets of CPUs that compute bfloat16 faster than float32.
BFLOAT16_CPU_FLAGS = r"\b(avx512_bf16|amx_bf16|bf16)\b"
# A snapshot holds the weights, Adam's two slots and the best weights: 52 MB
# for the CNN.
SAVE_FREQ = 1000


# How a script starts and ends.


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Imports TensorFlow in the block, without its messages and 0.5 s faster.

    Without a GPU TensorFlow reports the missing driver as an error, which a
    reader would take for one. What matters is raised as an exception, and shown
    after the block.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_stderr(), _no_garbage_collection():
        yield


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Discards what TensorFlow's libraries write before they read the level."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Turns garbage collection off, and then excludes what was imported.

    The imported modules are 450,000 objects that stay to the end. Searching
    them takes a fifth of the time to import them, and again in every later
    search and at the end of the process, where it takes most of a second.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def run(main: Callable[[], None]) -> None:
    """Runs a script. Invalid input is one line on stderr, never a traceback.

    The exit code is 2 for invalid flags, and 1 for everything else that the
    user can fix.
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
    # All files are closed, and the operating system frees the memory.
    gc.freeze()


def fail(message: str, *, code: int) -> NoReturn:
    """Ends the process with one line on stderr."""
    line = " ".join(message.split())
    sys.stderr.write(f"{pathlib.Path(sys.argv[0]).name}: {line}\n")
    sys.exit(code)


# Flags that many scripts have.


def define_data_flag() -> None:
    """Defines the flag of every script that reads images."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Folder with the four IDX files of MNIST, Fashion-MNIST or the like, "
        "compressed or not. Without it: the MNIST inside the package.",
    )


def define_training_flags(
    *,
    max_steps: int,
    eval_freq: int,
    learning_rate: float,
    batch_size: int = 100,
    batch_size_help: str = "Examples per step.",
) -> None:
    """Defines the flags of every script that trains, with its defaults."""
    define_data_flag()
    flags.DEFINE_integer(
        "batch_size", batch_size, batch_size_help, lower_bound=1
    )
    flags.DEFINE_integer(
        "max_steps", max_steps, "Steps at most.", lower_bound=1
    )
    flags.DEFINE_integer(
        "eval_freq", eval_freq, "Steps between evaluations.", lower_bound=1
    )
    flags.DEFINE_float(
        "learning_rate", learning_rate, "Of the optimizer.", lower_bound=0.0
    )
    flags.DEFINE_integer(
        "seed",
        1,
        "Of the weights, the dropout and the order of the data.",
        lower_bound=0,
        upper_bound=2**32 - 1,
    )


def define_run_flags(
    *, workdir: str, patience: int = 20, **training_defaults: Any
) -> None:
    """Defines the flags of every script whose training can be resumed.

    Args:
        workdir: Default of the folder.
        patience: Default of the patience.
        **training_defaults: As for `define_training_flags`.
    """
    define_training_flags(**training_defaults)
    flags.DEFINE_string(
        "workdir",
        workdir,
        "Folder of the run: the best model (model.keras), what is needed to "
        "resume (state/), the curves for TensorBoard (logs/) and the results "
        "(results.json). The same command with the same folder resumes an "
        "unfinished run.",
    )
    flags.DEFINE_integer(
        "patience",
        patience,
        "Validations in a row without improvement that end the training.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "save_freq",
        SAVE_FREQ,
        "Steps between the snapshots that a killed run resumes from.",
        lower_bound=1,
    )
    flags.DEFINE_bool(
        "mmap",
        False,
        "Leave the images of --data_dir in their files, which must not be "
        "compressed, and read those of each batch: for more of them than "
        "memory holds.",
    )


def define_device_flags() -> None:
    """Defines the flags of a script that runs in two precisions and shares.

    The results do not depend on how many devices share a batch.
    """
    flags.DEFINE_integer(
        "num_devices",
        1,
        "Devices that share each batch: GPUs or, without one, parts of the "
        "CPU. The results do not depend on it.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "precision",
        None,
        list(PRECISIONS),
        "Of the computation; the weights are always float32. Without it "
        "float32, and with --recipe=fast bfloat16 where the machine has it.",
    )


def data_dir() -> pathlib.Path | None:
    """Returns the value of --data_dir, `None` for the MNIST in the package."""
    name = flags.FLAGS.data_dir
    return pathlib.Path(name) if name else None


def training_arguments() -> dict[str, Any]:
    """Returns the values of `define_training_flags`, but the data, by name."""
    names = ("batch_size", "max_steps", "eval_freq", "learning_rate", "seed")
    return {name: flags.FLAGS[name].value for name in names}


def run_arguments() -> dict[str, Any]:
    """Returns the values of `define_run_flags` by name."""
    names = ("patience", "save_freq", "mmap")
    return {
        "workdir": pathlib.Path(flags.FLAGS.workdir),
        "data_dir": data_dir(),
        **training_arguments(),
        **{name: flags.FLAGS[name].value for name in names},
    }


def device_arguments() -> dict[str, Any]:
    """Returns the values of `define_device_flags` by name."""
    return {
        "num_devices": flags.FLAGS.num_devices,
        "precision": flags.FLAGS.precision or "float32",
    }


def set_flag_defaults(defaults: Mapping[str, Any]) -> None:
    """Changes the values of the flags that the command does not give."""
    for name, value in defaults.items():
        flags.FLAGS.set_default(name, value)


# What several scripts print.


def dataset_name(data_dir: pathlib.Path | None) -> str:
    """Returns where the images come from."""
    return str(data_dir or "MNIST inside keras_port")


def get_hparams(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a run that TensorBoard compares runs by."""
    names = ("batch_size", "learning_rate", "seed")
    return {
        **{name: settings[name] for name in names},
        "dataset": dataset_name(settings["data_dir"]),
    }


def announce(run: "runs.Run") -> None:
    """Prints where a training starts, and how to see its curves."""
    if run.step:
        print(f"Resuming {run.directory} from step {run.step:,}.")
    print(f"Curves: tensorboard --logdir {run.log_dir}")


def announce_finished(run: "runs.Run") -> None:
    """Prints that a run has been trained to its end already."""
    print(f"{run.directory} is finished; there is nothing left to do.")


def summarize(results: "runs.Results") -> str:
    """Returns the last line of a script that trains."""
    return (
        f"Ended by {results.ended_by} at step {results.steps:,} after "
        f"{results.seconds:,.0f} s ({results.examples_per_second:,.0f} "
        f"examples/s). Best at step {results.best_step:,}: validation "
        f"accuracy {results.validation_accuracy:.4f}, test accuracy "
        f"{results.test_accuracy:.4f}."
        + ("" if results.finished else " The same command resumes the run.")
    )


# Devices and precision.


def share_batches(num_devices: int) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which a model is built to share its batches.

    Splits the CPU into devices if there is no GPU. A run may resume with
    another number of devices.

    Args:
        num_devices: Devices that share each batch.
    """
    from keras_port import distribution

    if num_devices == 1:
        return contextlib.nullcontext()
    return distribution.mirrored_strategy(num_devices).scope()


def has_bfloat16() -> bool:
    """Returns whether this machine computes bfloat16 faster than float32."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    cpu = pathlib.Path("/proc/cpuinfo")
    return cpu.exists() and bool(re.search(BFLOAT16_CPU_FLAGS, cpu.read_text()))


def set_precision(precision: str) -> None:
    """Sets the precision of the computation; the weights stay float32.

    Args:
        precision: "float32" or "bfloat16".
    """
    import keras

    if precision == "bfloat16" and not has_bfloat16():
        print(
            "This machine has no instructions for bfloat16 and computes it "
            "slowly; --precision=float32 will be faster."
        )
    keras.config.set_dtype_policy(PRECISIONS[precision])
