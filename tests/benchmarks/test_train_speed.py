"""Each peer of the training benchmark that runs here does two steps."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from benchmarks import setup_peers
from benchmarks import train_speed
from benchmarks.peers import processes
from benchmarks.peers import work as peers_work
from benchmarks.peers.processes import Kind
from benchmarks.peers.work import Work
from keras_port import datasets
from tests.benchmarks.flag_values import flag_values
from tests.benchmarks.small_work import small_data

HERE = [
    name for name, kind in train_speed.KINDS.items() if not kind.environment
]


@pytest.mark.parametrize(
    "kind",
    [*HERE[:5], *(pytest.param(k, marks=pytest.mark.slow) for k in HERE[5:])],
)
def test_a_peer_measures_two_steps(
    kind: str, small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = train_speed.KINDS[kind].function.split(":")
    peer = importlib.import_module(f"benchmarks.peers.{module}")
    if kind == "limit":
        monkeypatch.setattr(peer, "SIZES", (256, 512))
    work = Work("cnn", "float32", batch_size=4, steps=2)
    measure = getattr(peer, name)(work, small_data(small_mnist))
    assert measure() > 0


def test_a_process_stays_alive_and_a_missing_peer_is_a_note(
    quick: Kind, tmp_path: Path
) -> None:
    kinds = {"keras_port": quick, "jax": Kind("jax_loop:make", "jax")}
    works = [Work(steps=2), Work(precision="bfloat16")]
    missing = str(tmp_path / "python")
    with flag_values(jax_python=missing), processes.start_peers(kinds) as peers:
        measure = peers.make(works[0])
        assert list(measure) == ["keras_port"]
        # 10,000 test images, twice, each time it is asked.
        assert report.measure_in_turn(measure, 2) == {
            "keras_port": [20_000, 20_000]
        }
        assert peers.notes == [
            f"Left out: jax, since there is no jax; `{processes.SETUP}` "
            "installs it."
        ]
        assert peers.versions()["numpy"] == np.__version__
        assert not peers.make(works[1])
        assert peers.notes[1:] == [
            "Left out: keras_port, since it ended: "
            "ValueError: no bfloat16 here."
        ]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("make_dying", "it ended: "),
        ("make_silent", "it has not answered for 3 s"),
    ],
)
def test_a_peer_that_is_lost_is_left_out_and_the_rest_goes_on(
    function: str,
    reason: str,
    quick: Kind,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kinds = {"quick": quick, "lost": Kind(f"quick:{function}")}
    with processes.start_peers(kinds) as peers:
        ready = peers.make(Work(steps=1))
        monkeypatch.setattr(processes, "SILENCE", 3.0)
        values = report.measure_in_turn(ready, 2)
        assert values == {"quick": [10_000, 10_000]}
        [note] = peers.notes
    assert note.startswith(f"Left out: lost, since {reason}")
    shown = capfd.readouterr().err
    assert "round 1 of 2: lost" in shown
    assert "round 2 of 2: quick" in shown
    assert f"lost is left out: {reason}" in shown


def test_the_table_says_examples_per_second_and_the_limit() -> None:
    class Made(processes.Peers):
        notes = ()

        def __init__(self) -> None: ...

        def make(self, work: Work, names: object = ()) -> dict[str, object]:
            return {
                "keras_port": lambda: 2.0,
                "tf1": lambda: 4.0,
                "limit": lambda: 1.0,
            }

    table = train_speed.table(Made(), Work(steps=10), rounds=1)
    assert table.medians == {"keras_port": 500, "tf1": 250, "limit": 1000}
    assert table.times_as_fast("limit") == 0.5
    [note] = table.notes
    assert "reach 82 GFLOP/s; a training example takes 82.0" in note
    work = Work(precision="bfloat16", steps=10)
    assert train_speed.table(Made(), work, rounds=1).notes == [
        "tf1 is in float32.",
        note,
    ]


def test_works_take_about_the_same_time() -> None:
    works = train_speed.make_works(
        ["cnn", "perceptron"], ["float32"], [100, 1000], 40
    )
    assert [work.steps for work in works] == [40, 4, 2000, 200]


def test_the_images_are_those_of_the_package(mnist: datasets.Splits) -> None:
    for ours, theirs in zip(mnist, peers_work.load_mnist(), strict=True):
        np.testing.assert_array_equal(ours.images, theirs.images)
        np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_batches_by_index_deal_each_image_once_per_epoch() -> None:
    batches = peers_work.shuffle_indices(6, 4, seed=1)
    dealt = np.concatenate([next(batches) for _ in range(3)])
    assert sorted(dealt[:6]) == sorted(dealt[6:]) == list(range(6))


def test_a_peer_is_installed_into_the_environment_that_is_looked_for() -> None:
    assert tuple(setup_peers.PACKAGES) == processes.ENVIRONMENTS
    python, *_, package, _ = setup_peers.command("pytorch", "https://index")
    assert python == str(processes.FOLDER / "pytorch" / "bin" / "python")
    assert package.startswith("torch==")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["pytorch", "pytorch_compiled", "jax"], ids=str
)
def test_a_peer_of_another_environment_measures_two_steps(kind: str) -> None:
    chosen = train_speed.KINDS[kind]
    with flag_values(pytorch_python=None, jax_python=None):
        if not Path(processes.FOLDER / str(chosen.environment)).exists():
            pytest.skip(f"no {chosen.environment}; see `{processes.SETUP}`")
        [table] = train_speed.measure(
            [Work(batch_size=4, steps=2)], 1, {kind: chosen}
        ).tables
    assert not table.notes
    assert table.values[kind][0] > 0
