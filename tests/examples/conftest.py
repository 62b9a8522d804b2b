"""What the tests of the scripts share."""

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
import sys
from types import ModuleType
from typing import NamedTuple

from absl import flags
from absl import logging
import cli
import pytest

from keras_port import datasets
from tests.examples.small_data import write_small_mnist


class Ended(NamedTuple):
    """How a script ended, and what it has written."""

    code: object
    out: str
    err: str


RunScript = Callable[..., Ended]


@pytest.fixture(scope="session")
def data_dir(
    tmp_path_factory: pytest.TempPathFactory, mnist: datasets.Splits
) -> Path:
    """Returns a folder with a small MNIST in four IDX files."""
    return write_small_mnist(tmp_path_factory.mktemp("data"), mnist)


@pytest.fixture
def small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves 200 of the 5,000 validation images, which cost a CNN seconds."""
    load_mnist = datasets.load_mnist

    def load_less(
        data_dir: Path | None, *, mmap: bool = False
    ) -> datasets.Splits:
        splits = load_mnist(data_dir, mmap=mmap)
        return splits._replace(validation=splits.validation[:200])

    monkeypatch.setattr(datasets, "load_mnist", load_less)


@pytest.fixture
def run_script(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[RunScript]:
    """Runs a script as its command does, in this process.

    The flags, which absl keeps for the process, are removed afterwards.
    """
    before = set(flags.FLAGS)
    verbosity = logging.get_verbosity()

    def run(script: ModuleType, *arguments: object) -> Ended:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)
        command = [str(script.__file__), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        capfd.readouterr()
        script.define_flags()
        code: object = 0
        try:
            cli.run(script.main)
        except SystemExit as ended:
            code = ended.code
        return Ended(code, *capfd.readouterr())

    # The handlers of the loggers belong to pytest.
    monkeypatch.setattr(logging, "use_absl_handler", lambda: None)
    yield run
    logging.set_verbosity(verbosity)
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture
def fails_in_one_line(run_script: RunScript) -> Callable[..., str]:
    """Runs a script that must refuse its input, and returns the line."""

    def run(script: ModuleType, *arguments: object, code: int) -> str:
        ended = run_script(script, *arguments)
        assert ended.code == code, ended
        assert ended.out == ""
        name = Path(str(script.__file__)).name
        assert ended.err.startswith(f"{name}: ")
        assert ended.err.count("\n") == 1
        assert ended.err.endswith("\n")
        return ended.err

    return run
