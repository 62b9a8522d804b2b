"""What one training is made of, and the flags that say so."""

import dataclasses
import pathlib

from absl import flags
import cli  # noqa: F401 (First: it sets what TensorFlow reads.)
from run_files import LOG_FOLDER
from run_files import MODEL_FILE
from run_files import RESULTS_FILE
from run_files import STATE_FOLDER

from keras_port import datasets

# So that --help of a script lists the flags that are defined here for it.
flags.disclaim_key_flags()

# A snapshot holds the weights, Adam's two slots and the best weights: for the
# CNN 52 MB.
SAVE_FREQ = 1000


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
        mmap: Whether the images stay in their files. Defaults to `False`.
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
    mmap: bool = False


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
    define_steps(
        max_steps=max_steps,
        eval_freq=eval_freq,
        learning_rate=learning_rate,
        batch_size=batch_size,
        batch_size_help=batch_size_help,
    )
    flags.DEFINE_bool(
        "mmap",
        False,
        "Leave the images of --data_dir in their files, which must not be "
        "compressed, and read those of each batch: for more of them than "
        "memory holds.",
    )
    flags.DEFINE_string(
        "workdir",
        workdir,
        f"Folder of the run: the best model ({MODEL_FILE}), what is needed to "
        f"go on ({STATE_FOLDER}/), the curves for TensorBoard ({LOG_FOLDER}/) "
        f"and the results ({RESULTS_FILE}). The same "
        "command with the same folder resumes an unfinished run.",
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


def define_steps(
    *,
    max_steps: int,
    eval_freq: int,
    learning_rate: float,
    batch_size: int = 100,
    batch_size_help: str = "Examples per step.",
) -> None:
    """Defines the flags of every script that trains, with its defaults."""
    flags.DEFINE_integer(
        "batch_size", batch_size, batch_size_help, lower_bound=1
    )
    flags.DEFINE_integer(
        "max_steps", max_steps, "Steps at the most.", lower_bound=1
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
        mmap=values.mmap,
    )


def load_splits(settings: Settings) -> datasets.Splits:
    """Returns the images that a run is about."""
    return datasets.load_mnist(settings.data_dir, mmap=settings.mmap)


def dataset_name(settings: Settings) -> str:
    """Returns where the images come from."""
    return str(settings.data_dir or "MNIST inside keras_port")


def hyperparameters(settings: Settings) -> dict[str, int | float | str]:
    """Returns what distinguishes runs on TensorBoard's page HParams."""
    return {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
        "dataset": dataset_name(settings),
    }
