"""The benchmark of `fit` runs and reports what it says."""

import importlib

import pytest

from benchmarks import fit_overhead
from benchmarks.peers import keras_port_job
from benchmarks.peers.processes import Kind
from benchmarks.peers.work import Work
from keras_port import datasets
from tests.benchmarks.small_work import small_data


@pytest.mark.parametrize("kind", ["bare", "steps", "tf1"])
def test_a_kind_measures_some_steps(
    kind: str, small_mnist: datasets.Splits
) -> None:
    module, name = fit_overhead.KINDS[kind].function.split(":")
    peer = importlib.import_module(f"benchmarks.peers.{module}")
    work = Work(batch_size=4, steps=3)
    assert getattr(peer, name)(work, small_data(small_mnist))() > 0


@pytest.mark.slow
def test_a_whole_training_goes_on_from_turn_to_turn(
    small_mnist: datasets.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras_port_job, "WARM_UP_STEPS", 2)
    work = Work(batch_size=4, steps=4, eval_freq=2)
    training = keras_port_job.make_steady(work, small_data(small_mnist))
    turns = training._turns
    assert int(turns.model.optimizer.iterations) == 2
    assert training() > 0
    assert training() > 0
    assert int(turns.model.optimizer.iterations) == 10
    training.close()
    assert int(turns.model.optimizer.iterations) == 10
    with pytest.raises(RuntimeError, match="has ended"):
        training()


def test_rates_are_compared_with_the_bare_loop_and_with_the_session(
    quick: Kind,
) -> None:
    kinds = dict.fromkeys(fit_overhead.KINDS, quick)
    [table] = fit_overhead.measure(3, 2, kinds).tables
    assert table.bases == ("bare", "tf1")
    # The quick peer says 30,000 s for three steps of a hundred.
    assert table.values == {kind: [0.01, 0.01] for kind in kinds}
