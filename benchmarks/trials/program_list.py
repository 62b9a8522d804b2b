"""The programs that are killed, stopped and deprived of their disk."""

import dataclasses
import pathlib
import struct

import numpy as np

from keras_port import datasets

ROOT = pathlib.Path(__file__).parents[2]
OWN = pathlib.Path(__file__).parent / "programs"


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that resumes.

    Args:
        name: Its name in the table.
        script: Path of the script.
        flags: Command line of an example. An own program has the directory
            alone.
    """

    name: str
    script: pathlib.Path
    flags: tuple[str, ...] = ()

    @property
    def is_example(self) -> bool:
        """Whether it is one of `examples/`."""
        return self.script.parent.name == "examples"

    def get_arguments(
        self, workdir: pathlib.Path, data_dir: pathlib.Path
    ) -> list[str]:
        """Returns its command line."""
        if not self.is_example:
            return [str(workdir)]
        return [
            f"--workdir={workdir}",
            f"--data_dir={data_dir}",
            *self.flags,
        ]


def make_example(name: str, script: str, *flags: str) -> Program:
    """Returns an example with few steps."""
    return Program(name, ROOT / "examples" / script, flags)


_SMALL_CNN = ("--batch_size=10", "--max_steps=12", "--eval_freq=6")
PROGRAMS = {
    program.name: program
    for program in [
        make_example(
            "train_perceptron",
            "train_perceptron.py",
            "--batch_size=20",
            "--max_steps=60",
            "--eval_freq=10",
            "--save_freq=5",
        ),
        make_example("train_cnn", "train_cnn.py", *_SMALL_CNN, "--save_freq=2"),
        make_example(
            "train_multi_gpu",
            "train_multi_gpu.py",
            *_SMALL_CNN,
            "--save_freq=3",
        ),
        make_example(
            "train_cnn_fast",
            "train_cnn.py",
            "--recipe=fast",
            "--batch_size=80",
            "--max_steps=8",
            "--save_freq=2",
        ),
        *(
            Program(path.stem, path)
            for path in sorted(OWN.glob("*.py"))
            if path.stem != "parts"
        ),
    ]
}


def write_data(folder: pathlib.Path, *, train: int = 400) -> pathlib.Path:
    """Writes IDX files of few images, and returns their folder.

    The scripts set 5,000 images aside for validation, so there is no less.

    Args:
        folder: An existing folder.
        train: Images to train on. Defaults to 400.
    """
    splits = datasets.load_mnist()
    arrays = {
        "train-images-idx3-ubyte": np.concatenate(
            [splits.validation.images, splits.train.images[:train]]
        ),
        "train-labels-idx1-ubyte": np.concatenate(
            [splits.validation.labels, splits.train.labels[:train]]
        ),
        "t10k-images-idx3-ubyte": splits.test.images[:200],
        "t10k-labels-idx1-ubyte": splits.test.labels[:200],
    }
    for name, array in arrays.items():
        (folder / name).write_bytes(encode_idx(array))
    return folder


def encode_idx(array: np.ndarray) -> bytes:
    """Returns an array of bytes as the content of an IDX file."""
    header = struct.pack(
        f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape
    )
    return header + np.asarray(array, np.uint8).tobytes()
