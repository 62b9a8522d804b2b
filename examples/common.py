"""What the scripts share: flags, the folder of a run, and one training."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import json
import logging as python_logging
import math
import os
import pathlib
import sys
import time
from typing import Any
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


with quiet_stderr():
    from absl import app
    from absl import flags
    from absl import logging
    import keras

    from keras_port import callbacks
    from keras_port import checkpoints
    from keras_port import datasets
    from keras_port import training

# So that --help of a script lists the flags that are defined here for it.
flags.disclaim_key_flags()

MODEL_FILE = "model.keras"
RESULTS_FILE = "results.json"
RUN_FILE = "run.json"
STATE_FOLDER = "state"
LOG_FOLDER = "logs"
# Images of the validation split that the dashboard's pictures are made of.
PICTURED = 200
# A snapshot holds the weights, Adam's two slots and the best weights: for the
# CNN 52 MB.
SAVE_FREQ = 1000
# Half a second of the CNN.
STEPS_PER_CALL = 10
# Steps between points of the curves, and between histograms.
UPDATE_FREQ = 10
HISTOGRAM_FREQ = 500


@dataclasses.dataclass(frozen=True)
class Settings:
    """What one training is made of, as plain values.

    Args:
        workdir: Folder of the run.
        data_dir: Folder of the four IDX files, `None` for the MNIST inside
            the package.
        batch_size: Examples per step.
        max_steps: Steps after which the training ends at the latest.
        eval_freq: Steps between validations.
        patience: Validations without improvement that end the training.
        learning_rate: Of the optimizer.
        seed: Of weights, dropout and the order of the data.
        save_freq: Steps between the snapshots that a killed run resumes from.
            Defaults to 1,000.
    """

    workdir: pathlib.Path
    data_dir: pathlib.Path | None
    batch_size: int
    max_steps: int
    eval_freq: int
    patience: int
    learning_rate: float
    seed: int
    save_freq: int = SAVE_FREQ


@dataclasses.dataclass(frozen=True)
class Results:
    """What one training has given; the content of `results.json`.

    Args:
        steps: Updates of the weights.
        best_step: Step with the best validation accuracy.
        validation_accuracy: With the weights of that step.
        test_accuracy: With the same weights.
        seconds: Wall time of the training call; of the last one, if the run
            was resumed.
        examples_per_second: Training examples since the first step, with
            validation, saving and logging in the time.
        dataset: Where the images came from.
        ended_by: "early stopping", "max_steps", or the name of a signal.
    """

    steps: int
    best_step: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    examples_per_second: float
    dataset: str
    ended_by: str

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.ended_by in ("early stopping", "max_steps")


def define_settings(
    *,
    workdir: str,
    max_steps: int,
    eval_freq: int,
    learning_rate: float,
    patience: int = 20,
    batch_size: int = 100,
    batch_size_help: str = "Examples per step.",
) -> None:
    """Defines the common flags; the arguments are a script's defaults."""
    define_data_dir()
    flags.DEFINE_string(
        "workdir",
        workdir,
        f"Folder of the run: the best model ({MODEL_FILE}), what is needed to "
        f"go on ({STATE_FOLDER}/), the curves for TensorBoard ({LOG_FOLDER}/) "
        f"and the results ({RESULTS_FILE}). The same "
        "command with the same folder resumes an unfinished run.",
    )
    flags.DEFINE_integer(
        "batch_size", batch_size, batch_size_help, lower_bound=1
    )
    flags.DEFINE_integer(
        "max_steps", max_steps, "Steps at the most.", lower_bound=1
    )
    flags.DEFINE_integer(
        "eval_freq", eval_freq, "Steps between validations.", lower_bound=1
    )
    flags.DEFINE_integer(
        "patience",
        patience,
        "Validations in a row without improvement that end the training.",
        lower_bound=0,
    )
    flags.DEFINE_float(
        "learning_rate", learning_rate, "Of the optimizer.", lower_bound=0.0
    )
    flags.DEFINE_integer(
        "save_freq",
        SAVE_FREQ,
        "Steps between the snapshots that a killed run resumes from.",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "seed",
        1,
        "Of the weights, the dropout and the order of the data.",
        lower_bound=0,
        upper_bound=2**32 - 1,
    )


def define_data_dir() -> None:
    """Defines the flag that every script with data has."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Folder with the four IDX files of MNIST, Fashion-MNIST or the like, "
        "compressed or not. Without it: the MNIST inside the package.",
    )


def data_dir_from_flags() -> pathlib.Path | None:
    """Returns the folder of the data, `None` for that in the package."""
    name = flags.FLAGS.data_dir
    return pathlib.Path(name) if name else None


def settings_from_flags(*, devices: int = 1) -> Settings:
    """Returns the values of the common flags.

    Args:
        devices: Devices that the flag `--batch_size` is for one of. Defaults
            to 1.
    """
    values = flags.FLAGS
    return Settings(
        workdir=pathlib.Path(values.workdir),
        data_dir=data_dir_from_flags(),
        batch_size=values.batch_size * devices,
        max_steps=values.max_steps,
        eval_freq=values.eval_freq,
        patience=values.patience,
        learning_rate=values.learning_rate,
        seed=values.seed,
        save_freq=values.save_freq,
    )


def finished_results(settings: Settings, **more: Any) -> Results | None:
    """Prepares the folder of a run, and refuses one that holds another.

    Args:
        settings: Of this run.
        **more: Further values that make it another run, such as the script.

    Returns:
        The results, if the run has nothing left to do, otherwise `None`.

    Raises:
        ValueError: If the folder holds a run with other settings, or files
            that no run of this package has left.
        OSError: If the folder cannot be written to.
    """
    run = {**dataclasses.asdict(settings), **more}
    # These may differ when a run goes on.
    for name in ("workdir", "max_steps", "save_freq"):
        del run[name]
    run = json.loads(json.dumps(run, default=str))
    workdir = settings.workdir
    checkpoints.make_writable_folder(workdir)
    run_file = workdir / RUN_FILE
    if not run_file.exists():
        check_free(workdir)
        write_json(run_file, run)
        return None
    check_same_run(read_json(run_file), run, workdir)
    if not (workdir / RESULTS_FILE).exists():
        return None
    results = Results(**read_json(workdir / RESULTS_FILE))
    longer = settings.max_steps > results.steps
    if not results.finished or (results.ended_by == "max_steps" and longer):
        return None
    return results


def check_free(workdir: pathlib.Path) -> None:
    """Raises `ValueError` if a run would write over somebody's files."""
    names = (MODEL_FILE, RESULTS_FILE, STATE_FOLDER, LOG_FOLDER)
    there = [name for name in names if (workdir / name).exists()]
    if there:
        raise ValueError(
            f"{workdir} holds {', '.join(there)}, but no {RUN_FILE} that says "
            "which run they belong to. Choose another --workdir, or move them."
        )


def check_same_run(
    found: dict[str, Any], wanted: dict[str, Any], workdir: pathlib.Path
) -> None:
    """Raises `ValueError` if the folder holds a run with other settings."""
    differing = [
        f"{name} {found.get(name)} there, {wanted.get(name)} here"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(
            f"{workdir} holds another run ({'; '.join(differing)}). Choose "
            "another --workdir, or give the flags of that run to resume it."
        )


def train_by_step(
    model: training.GradientModel,
    splits: datasets.Splits,
    settings: Settings,
    *,
    more_callbacks: Sequence[keras.callbacks.Callback] = (),
    max_steps_per_call: int = STEPS_PER_CALL,
    max_shift: int = 0,
) -> Results:
    """Trains a compiled model to its end and leaves the results in `workdir`.

    Prints the line that opens the curves in TensorBoard. On several machines
    each calls this, and the first prints and writes.

    Args:
        model: A compiled model.
        splits: Training, validation and test images.
        settings: Of the run.
        more_callbacks: Further callbacks for `fit`.
        max_steps_per_call: Steps that Keras runs in one call, at the most.
        max_shift: Pixels by which training images are moved, at the most.

    Returns:
        The results, those of the best weights, which the model then has.
    """
    state = callbacks.TrainingState(
        settings.workdir / STATE_FOLDER, save_freq=settings.save_freq
    )
    writes = training.writes_files(model)
    if state.step and writes:
        print(f"Resuming {settings.workdir} from step {state.step:,}.")
    if writes:
        print(f"Curves: tensorboard --logdir {settings.workdir / LOG_FOLDER}")
    stopping = callbacks.StepEarlyStopping(patience=settings.patience)
    terminate = callbacks.TerminateOnSignal()
    speed = Speed(settings.batch_size)
    batches = datasets.shuffled_batches(
        splits.train,
        settings.batch_size,
        seed=settings.seed,
        start_step=state.batches,
        image_shape=model.input_shape[1:],
        max_shift=max_shift,
    )
    steps = settings.max_steps - state.step
    model.steps_per_execution = steps_per_call(
        steps,
        settings.eval_freq,
        settings.save_freq,
        most=max_steps_per_call,
    )
    started = time.perf_counter()
    model.fit(
        batches,
        steps_per_epoch=steps,
        callbacks=[
            callbacks.StepEvaluation(
                splits.validation, eval_freq=settings.eval_freq
            ),
            stopping,
            callbacks.StepCheckpoint(settings.workdir / MODEL_FILE),
            callbacks.StepProgress(
                batch_size=settings.batch_size, patience=settings.patience
            ),
            state,
            terminate,
            speed,
            callbacks.TensorBoard(
                settings.workdir / LOG_FOLDER,
                update_freq=UPDATE_FREQ,
                histogram_freq=HISTOGRAM_FREQ,
                data=splits.validation[:PICTURED],
                hparams=hyperparameters(settings),
                # The folder belongs to this run, as `run.json` says.
                overwrite=True,
            ),
            *more_callbacks,
        ],
        verbose=0,
    )
    seconds = time.perf_counter() - started
    results = Results(
        steps=int(model.optimizer.iterations.numpy()),
        best_step=stopping.best_step or 0,
        validation_accuracy=accuracy(model, splits.validation),
        test_accuracy=accuracy(model, splits.test),
        seconds=round(seconds, 3),
        examples_per_second=round(speed.examples_per_second, 1),
        dataset=dataset_name(settings),
        ended_by=terminate.received
        or ("early stopping" if stopping.stopped_step else "max_steps"),
    )
    if writes:
        content = dataclasses.asdict(results)
        write_json(settings.workdir / RESULTS_FILE, content)
    return results


def hyperparameters(settings: Settings) -> dict[str, int | float | str]:
    """Returns what distinguishes runs on TensorBoard's page HParams."""
    return {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
        "dataset": dataset_name(settings),
    }


def dataset_name(settings: Settings) -> str:
    """Returns where the images come from."""
    return str(settings.data_dir or "MNIST inside keras_port")


class Speed(keras.callbacks.Callback):  # type: ignore[misc]
    """Measures training examples per second since the first step."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.examples_per_second = 0.0
        self._first: tuple[int, float] | None = None

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Starts the clock when the first call has built the graph."""
        if self._first is None:
            self._first = self._now()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Stops the clock."""
        if self._first is not None:
            step, seconds = self._now()
            examples = (step - self._first[0]) * self.batch_size
            if examples:
                self.examples_per_second = examples / (seconds - self._first[1])

    def _now(self) -> tuple[int, float]:
        return int(self.model.optimizer.iterations.numpy()), time.perf_counter()


def steps_per_call(*distances: int, most: int = STEPS_PER_CALL) -> int:
    """Returns how many steps one call can run without missing anything.

    Keras always runs whole calls: with 20 steps per call, 50 steps become 60.
    So the number divides all of these.

    Args:
        *distances: Steps to run, and steps between two things that happen.
        most: The largest number; Ctrl-C has to wait for so many steps.
    """
    common = math.gcd(*distances)
    return max(n for n in range(1, most + 1) if common % n == 0)


def accuracy(model: keras.Model, split: datasets.ImageSplit) -> float:
    """Returns the part of the images that the model names right."""
    return training.ModelEvaluation(model, split)()["accuracy"]


def load_and_evaluate(
    workdir: pathlib.Path, data_dir: pathlib.Path | None
) -> tuple[float, float]:
    """Returns the validation and test accuracy of the best model of a run.

    Args:
        workdir: Folder of the run.
        data_dir: Folder of the data, `None` for the MNIST in the package.
    """
    path = workdir / MODEL_FILE
    # Says in one line what is wrong with a file that is not there or broken.
    record = checkpoints.read_record(path)
    splits = datasets.load_mnist(data_dir)
    model = keras.saving.load_model(path)
    validation = accuracy(model, splits.validation)
    test = accuracy(model, splits.test)
    when = f", of step {record.step:,}" if record else ""
    print(
        f"{path}{when}: validation accuracy {validation:.4f}, "
        f"test accuracy {test:.4f}."
    )
    return validation, test


def summary(results: Results) -> str:
    """Returns the last line of a script."""
    return (
        f"Ended by {results.ended_by} at step {results.steps:,} after "
        f"{results.seconds:,.0f} s ({results.examples_per_second:,.0f} "
        f"examples/s). Best at step {results.best_step:,}: validation "
        f"accuracy {results.validation_accuracy:.4f}, test accuracy "
        f"{results.test_accuracy:.4f}."
        + ("" if results.finished else " The same command goes on.")
    )


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns the content of a JSON file of a run."""
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is broken: {error}. Move it away, or choose another "
            "--workdir."
        ) from error
    return content


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Replaces a JSON file as a whole."""
    with checkpoints.atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


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


def fail(message: str, *, code: int) -> NoReturn:
    """Ends the process with one line on stderr."""
    line = " ".join(message.split())
    sys.stderr.write(f"{pathlib.Path(sys.argv[0]).name}: {line}\n")
    sys.exit(code)
