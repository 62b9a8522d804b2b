"""Each kind of start ends with its first step."""

import subprocess

import pytest

from benchmarks import start_up
from benchmarks.peers import first_step
from benchmarks.peers import work
from keras_port import datasets
from tests.benchmarks.small_work import small_data


class EndedError(Exception):
    """Stands for the end of the process."""


def end() -> None:
    raise EndedError


@pytest.mark.slow
@pytest.mark.parametrize("kind", first_step.KINDS)
def test_a_kind_ends_with_its_first_step(
    kind: str, small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = small_data(small_mnist, 200)
    monkeypatch.setattr(datasets, "load_mnist", lambda: small_mnist)
    monkeypatch.setattr(work, "load_mnist", lambda: data)
    with pytest.raises(EndedError):
        first_step.KINDS[kind](end)


def test_each_kind_is_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def run(line: list[str], **more: object) -> None:
        started.append(line[-1])

    monkeypatch.setattr(subprocess, "run", run)
    [table] = start_up.measure(1).tables
    # The first round is not kept, and the next begins with another kind.
    first, *others = first_step.KINDS
    assert started == [first, *others, *others, first]
    assert all(len(values) == 1 for values in table.values.values())
    assert table.bases == ("tensorflow",)
