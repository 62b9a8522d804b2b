"""A snapshot with another content is named, and the one before it used."""

from collections.abc import Callable
from collections.abc import Iterator
import copy
import math
from pathlib import Path
import random
from typing import Any

import keras
import numpy as np
import pytest

from keras_port.callbacks import StepEarlyStopping
from keras_port.callbacks import StepEvaluation
from keras_port.callbacks import StepProgress
from keras_port.callbacks import TensorBoard
from keras_port.callbacks import TrainingState
from keras_port.callbacks._snapshot_content import VERSION
from keras_port.callbacks._snapshot_content import check_snapshot
from keras_port.checkpoints import read_snapshot
from keras_port.checkpoints import write_snapshot
from tests.small import small_arrays
from tests.small import small_model

NEWEST = "state-00000008.npz"


def fit(workdir: Path) -> keras.Model:
    """Trains for 8 steps, with all that has a state."""
    model = small_model(optimizer=keras.optimizers.Adam(0.1))
    x, y = small_arrays()
    model.fit(
        x,
        y,
        batch_size=12,
        epochs=2,
        shuffle=False,
        callbacks=[
            StepEvaluation(small_arrays(16), eval_freq=2),
            StepEarlyStopping(monitor="val_loss", patience=9),
            StepProgress(batch_size=12),
            TensorBoard(workdir / "logs", overwrite=True),
            keras.callbacks.EarlyStopping("loss", patience=9),
            keras.callbacks.ReduceLROnPlateau("loss", patience=9),
            TrainingState(workdir / "state", save_freq=4),
        ],
        verbose=0,
    )
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the snapshots of a training."""
    workdir = tmp_path_factory.mktemp("trained")
    fit(workdir)
    return workdir / "state"


def list_places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Yields the place of every value in a snapshot."""
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        yield (*place, key)
        yield from list_places(value[key], (*place, key))


def change(content: Any, place: tuple[Any, ...], how: Any) -> Any:
    """Returns a snapshot with another value at a place."""
    changed = copy.deepcopy(content)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    last = place[-1]
    if not isinstance(how, str):
        parent[last] = how
    elif how == "delete":
        del parent[last]
    elif how == "rename" and isinstance(parent, dict):
        parent["other"] = parent.pop(last)
    else:
        parent[last] = how
    return changed


CHANGES = [
    *("delete", "rename", None, "text", -1, 10**30, 1.5, math.nan, True),
    *([], {}, [1], {"a": 1}, np.ones(3), np.array("text"), [[["x"]]]),
]


@pytest.mark.slow
@pytest.mark.fault("R7")
def test_no_change_of_the_content_raises_a_raw_error(
    trained: Path, tmp_path: Path
) -> None:
    """What is accepted is restored, or refused by an error with the file."""
    content = read_snapshot(trained / NEWEST)
    check_snapshot(content, fit=0, step=8)
    chance = random.Random(1)
    accepted = []
    refused = 0
    for place in list_places(content):
        for how in CHANGES:
            changed = change(content, place, how)
            try:
                check_snapshot(changed, fit=0, step=8)
            except ValueError:
                refused += 1
            else:
                accepted.append(changed)
    assert refused > len(accepted)
    for changed in chance.sample(accepted, 12):
        check_restore(tmp_path, changed)


def check_restore(workdir: Path, content: Any) -> None:
    """Resumes from a changed snapshot, which may raise a clear error."""
    state = workdir / "state"
    state.mkdir(exist_ok=True)
    write_snapshot(state / NEWEST, content)
    try:
        fit(workdir)
    except ValueError as error:
        assert str(state) in str(error)  # noqa: PT017


@pytest.mark.fault("R7")
@pytest.mark.parametrize(
    "how",
    [
        lambda content: content.pop("position"),
        lambda content: content.update(version=VERSION + 1),
        lambda content: content.update(step="eight"),
        lambda content: content.update(step=7),
        lambda content: content["callbacks"].update({"TensorBoard:0": None}),
        lambda content: content["model"].update(variables=3),
        lambda content: content["model"]["epochs"].append(2**64),
    ],
)
def test_the_one_before_it_is_used(
    trained: Path,
    tmp_path: Path,
    how: Callable[[dict[str, Any]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = read_snapshot(trained / NEWEST)
    how(content)
    for path in trained.glob("*.npz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_snapshot(tmp_path / NEWEST, content)
    assert TrainingState(tmp_path).step == 4
    assert f"{tmp_path / NEWEST} is not a snapshot" in caplog.text
    assert "The snapshot before it is used" in caplog.text


@pytest.mark.fault("R7")
def test_a_state_that_a_callback_cannot_take_names_the_file(
    tmp_path: Path,
) -> None:
    class Counter(keras.callbacks.Callback):  # type: ignore[misc]
        def get_state(self) -> dict[str, Any]:
            return {"count": 1}

        def set_state(self, state: dict[str, Any]) -> None:
            self.count = state["number"] + 1

    def train() -> None:
        counter = Counter()
        state = TrainingState(tmp_path, stateful_callbacks=[counter])
        small_model().fit(
            *small_arrays(), callbacks=[counter, state], verbose=0
        )

    train()
    with pytest.raises(
        ValueError,
        match=r"state of `Counter` in .*npz cannot be restored: KeyError",
    ):
        train()
