"""The wheel has what a user needs and works outside the checkout."""

import os
from pathlib import Path
import shutil
import subprocess
import sys
import zipfile

import pytest

import keras_port
from tests.gates import checkout

MNIST_FILES = [
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
]

LOAD_MNIST = """
from importlib.metadata import version

import keras_port

assert keras_port.__file__.startswith({target!r}), keras_port.__file__
assert keras_port.__version__ == version("keras_port")
splits = keras_port.datasets.load_mnist()
assert [len(split) for split in splits] == [55_000, 5_000, 10_000]
"""

TRAIN = """
model = keras_port.models.build_cnn()
model.compile("adam", keras_port.losses.CourseCrossEntropy())
batches = keras_port.datasets.shuffled_batches(splits.train, 10, seed=1)
model.fit(batches, steps_per_epoch=2, shuffle=False, verbose=0)
assert int(model.optimizer.iterations) == 2
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a wheel that is built from a copy of the files in git."""
    copy = tmp_path_factory.mktemp("copy")
    for name in list_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout.ROOT / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(out), str(copy))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder outside the checkout with the installed wheel."""
    folder = tmp_path_factory.mktemp("target")
    pip("install", "--target", str(folder), str(wheel))
    return folder


def test_the_wheel_has_data_types_and_license(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"keras_port-{keras_port.__version__}.dist-info"
    data = "keras_port/datasets/mnist_data"
    wanted = {f"{data}/{name}" for name in MNIST_FILES}
    wanted |= {f"{data}/README.md", "keras_port/py.typed"}
    pages = ("drawing_page.html", "graph_page.html")
    wanted |= {f"keras_port/inspection/{page}" for page in pages}
    wanted |= {f"{info}/licenses/LICENSE"}
    assert not wanted - names


def test_the_wheel_has_every_module_and_nothing_else(wheel: Path) -> None:
    names = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if ".dist-info/" not in name
    }
    assert {name.partition("/")[0] for name in names} == {"keras_port"}
    modules = {checkout.name(path) for path in checkout.sources("keras_port")}
    assert {name for name in names if name.endswith(".py")} == modules


@pytest.mark.slow
def test_the_wheel_loads_mnist_elsewhere(target: Path, tmp_path: Path) -> None:
    run_elsewhere(LOAD_MNIST, target, tmp_path)


def test_the_wheel_trains_elsewhere(target: Path, tmp_path: Path) -> None:
    run_elsewhere(LOAD_MNIST + TRAIN, target, tmp_path)


def list_files() -> list[str]:
    """Returns the files of the checkout that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=checkout.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    # git also lists a file that is deleted but not committed.
    return [name for name in listed if (checkout.ROOT / name).is_file()]


def pip(command: str, *arguments: str) -> None:
    """Runs pip without dependencies, because they are installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", command, "--no-deps", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run_elsewhere(program: str, target: Path, folder: Path) -> None:
    """Runs a program in another folder with only the installed wheel."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program.format(target=str(target))],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
