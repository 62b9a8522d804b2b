"""What the scripts share: quiet imports, flags and short messages.

Importing this module has no effect. A script calls what it needs:

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
import inspect
import logging as python_logging
import math
import os
import pathlib
import re
import shlex
import sys
from typing import TYPE_CHECKING
from typing import Any
from typing import NoReturn

from absl import app
from absl import flags
from absl import logging

if TYPE_CHECKING:
    import keras

    from keras_port import runs

# So that --help of a script lists the flags that this module defines for it.
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
    """Imports TensorFlow in the block without messages, and 0.5 s faster.

    Without a GPU, TensorFlow reports the missing driver as an error, although
    nothing is wrong. Real errors are exceptions and are shown after the block;
    a package that cannot be imported is one line.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _quiet_stderr(), _no_garbage_collection():
            yield
    except ImportError as error:
        backend = os.environ.get("KERAS_BACKEND", "tensorflow")
        hint = (
            ""
            if backend == "tensorflow"
            else (f". KERAS_BACKEND is {backend!r}; set it to tensorflow")
        )
        fail(f"{error}{hint}", code=1)


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
    """Turns garbage collection off, then excludes the imported objects.

    The imports create 450,000 objects that stay until the end. Searching them
    for garbage takes a fifth of the time of the imports, and almost a second at
    the end of the process.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def run(main: Callable[..., None]) -> None:
    """Runs a script, and reports invalid input in one line on stderr.

    The exit code is 2 for invalid flags and 1 for other errors that the user
    can fix.

    Args:
        main: The script. If it has a parameter, it gets the list of the
            arguments that are no flags. Otherwise they are an error.
    """
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(
        python_logging.Formatter("%(message)s")
    )
    logging.set_verbosity(logging.INFO)
    # TensorFlow says for every step how it adds up gradients.
    python_logging.getLogger("tensorflow").setLevel(python_logging.WARNING)
    python_logging.getLogger("tensorflow").propagate = False
    if {"--help", "-h"} & set(sys.argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True)
        return
    try:
        _, *rest = flags.FLAGS(sys.argv)
        takes_arguments = bool(inspect.signature(main).parameters)
        if rest and not takes_arguments:
            raise flags.Error(f"Unexpected argument {rest[0]!r}")
        # A flag of absl, for messages, which would be taken and do nothing.
        names = ("-log_dir", "--log_dir")
        if any(one.startswith(names) for one in sys.argv[1:]):
            raise flags.Error("Unknown flag --log_dir")
    except flags.Error as error:
        fail(f"{error}. See --help.", code=2)
    try:
        main(*[rest] * takes_arguments)
    except (OSError, ValueError) as error:
        fail(str(error), code=1)
    except KeyboardInterrupt:
        fail("Stopped at once. The same command resumes.", code=1)
    # All files are closed, and the operating system frees the memory.
    gc.freeze()


def fail(message: str, *, code: int) -> NoReturn:
    """Ends the process with one line on stderr."""
    line = " ".join(message.split())
    sys.stderr.write(f"{pathlib.Path(sys.argv[0]).name}: {line}\n")
    sys.exit(code)


# Flags that several scripts have.


def define_data_flag() -> None:
    """Defines the flag of the scripts that read images."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Directory with the four IDX files of MNIST, Fashion-MNIST or similar, "
        "compressed or not. Defaults to the MNIST in the package.",
    )


def define_training_flags(
    *,
    max_steps: int,
    eval_freq: int,
    learning_rate: float,
    batch_size: int = 100,
    batch_size_help: str = "Examples per step.",
) -> None:
    """Defines the flags of the scripts that train, with their defaults."""
    define_data_flag()
    flags.DEFINE_integer(
        "batch_size", batch_size, batch_size_help, lower_bound=1
    )
    flags.DEFINE_integer(
        "max_steps", max_steps, "Maximum number of steps.", lower_bound=1
    )
    flags.DEFINE_integer(
        "eval_freq", eval_freq, "Steps between evaluations.", lower_bound=1
    )
    flags.DEFINE_float(
        "learning_rate",
        learning_rate,
        "Learning rate of the optimizer.",
        lower_bound=0.0,
    )
    flags.register_validator(
        "learning_rate", math.isfinite, "must be a finite number"
    )
    flags.DEFINE_integer(
        "seed",
        1,
        "Seed of the weights, the dropout and the order of the data.",
        lower_bound=0,
        upper_bound=2**32 - 1,
    )


def define_run_flags(
    *, workdir: str, patience: int = 20, **training_defaults: Any
) -> None:
    """Defines the flags of the scripts whose training can be resumed.

    Args:
        workdir: Default of `--workdir`.
        patience: Default of `--patience`. Defaults to 20.
        **training_defaults: Arguments of `define_training_flags`.
    """
    define_training_flags(**training_defaults)
    flags.DEFINE_string(
        "workdir",
        workdir,
        "Directory of the run: the best model (model.keras), the snapshots to "
        "resume from (state/), the curves for TensorBoard (logs/) and the "
        "results (results.json). The same command resumes an unfinished run.",
    )
    flags.DEFINE_integer(
        "patience",
        patience,
        "Validations without improvement before the training stops.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "save_freq",
        SAVE_FREQ,
        "Steps between snapshots, from which a killed run resumes.",
        lower_bound=1,
    )
    flags.DEFINE_bool(
        "mmap",
        False,
        "Map the image files of --data_dir instead of reading them into "
        "memory. They must not be compressed.",
    )


def define_device_flags() -> None:
    """Defines the flags for several devices and for the precision."""
    flags.DEFINE_integer(
        "num_devices",
        1,
        "Devices that share every batch: GPUs, or parts of the CPU if there "
        "is no GPU. The results do not depend on it.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "precision",
        None,
        list(PRECISIONS),
        "Precision of the computation; the weights are always float32. "
        "Defaults to float32, and with --recipe=fast to bfloat16 where it "
        "is faster.",
    )


def data_dir() -> pathlib.Path | None:
    """Returns the value of `--data_dir`, or `None` for the package's MNIST."""
    name = flags.FLAGS.data_dir
    return pathlib.Path(name) if name else None


def training_arguments() -> dict[str, Any]:
    """Returns the values of `define_training_flags`, without the data."""
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
    """Changes the values of the flags that the command line does not set."""
    for name, value in defaults.items():
        flags.FLAGS.set_default(name, value)


def check_batch_size(batch_size: int, count: int) -> None:
    """Raises `ValueError` for a batch that is larger than the data.

    `shuffled_batches` would make one of several epochs, as large as it is
    asked for, and the memory may not be enough for it.

    Args:
        batch_size: Value of `--batch_size`.
        count: Number of training images.
    """
    if batch_size > count:
        raise ValueError(
            f"--batch_size must be at most {count:,}, the number of training "
            f"images. Received: {batch_size:,}"
        )


# What several scripts print.


def dataset_name(data_dir: pathlib.Path | None) -> str:
    """Returns the name of the data set for messages and results."""
    return str(data_dir or "MNIST inside keras_port")


def get_hparams(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a run that TensorBoard compares runs by."""
    return {
        **{
            name: value
            for name, value in settings.items()
            if name not in ("data_dir", "script")
        },
        "dataset": dataset_name(settings["data_dir"]),
    }


def announce(run: "runs.Run") -> None:
    """Prints where the training starts and how to see its curves."""
    if run.step:
        print(f"Resuming {from_here(run.directory)} from step {run.step:,}.")
    print(f"Curves: {format_tensorboard_command(run.log_dir)}")


def format_tensorboard_command(log_dir: pathlib.Path) -> str:
    """Returns the command that shows curves, as it can be copied.

    The environment of the script need not be activated. The address is a
    comment of the shell.
    """
    program = pathlib.Path(sys.executable).with_name("tensorboard")
    command = [sys.executable, "-m", "tensorboard.main"]
    if program.exists():
        command = [str(from_here(program))]
    return (
        shlex.join([*command, "--logdir", str(from_here(log_dir))])
        + "  # http://localhost:6006"
    )


def from_here(path: pathlib.Path) -> pathlib.Path:
    """Returns a path as a user in the working directory writes it."""
    here = pathlib.Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def announce_finished(run: "runs.Run") -> None:
    """Prints that the run is finished."""
    directory = from_here(run.directory)
    print(f"{directory} is finished; there is nothing left to do.")


def summarize(results: "runs.Results") -> str:
    """Returns the last line that a training script prints."""
    return (
        f"Ended by {results.ended_by} at step {results.steps:,} after "
        f"{results.seconds:,.0f} s ({results.examples_per_second:,.0f} "
        f"examples/s). Best at step {results.best_step:,}: validation "
        f"accuracy {results.validation_accuracy:.4f}, test accuracy "
        f"{results.test_accuracy:.4f}."
        + ("" if results.finished else " The same command resumes the run.")
    )


# The model of a run.


def define_model_flag() -> None:
    """Defines the flag of the scripts that use a trained model."""
    flags.DEFINE_string(
        "workdir",
        "runs/cnn",
        "Directory of the run of train_cnn.py or train_perceptron.py, with its "
        "model.keras.",
    )


def load_best(workdir: pathlib.Path) -> "keras.Model":
    """Returns the best model of a run.

    Args:
        workdir: Directory of the run.
    """
    import keras

    from keras_port import checkpoints

    path = workdir / "model.keras"
    # Raises a short error if the file is missing or broken.
    checkpoints.read_record(path)
    return keras.saving.load_model(path)


# Devices and precision.


def share_batches(num_devices: int) -> contextlib.AbstractContextManager[Any]:
    """Returns a context in which a model is built to share its batches.

    Splits the CPU into devices if there is no GPU. A run may resume with
    another number of devices.

    Args:
        num_devices: Devices that share every batch.
    """
    from keras_port import distribution

    if num_devices == 1:
        return contextlib.nullcontext()
    return distribution.mirrored_strategy(num_devices).scope()


def has_bfloat16() -> bool:
    """Returns whether bfloat16 is faster than float32 on this machine."""
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    cpu = pathlib.Path("/proc/cpuinfo")
    return cpu.exists() and bool(re.search(BFLOAT16_CPU_FLAGS, cpu.read_text()))


def set_precision(precision: str) -> None:
    """Sets the precision of the computation. The weights stay float32.

    Args:
        precision: "float32" or "bfloat16".
    """
    import keras

    if precision == "bfloat16" and not has_bfloat16():
        print(
            "This machine has no bfloat16 instructions, so bfloat16 is slow. "
            "Use --precision=float32."
        )
    keras.config.set_dtype_policy(PRECISIONS[precision])
