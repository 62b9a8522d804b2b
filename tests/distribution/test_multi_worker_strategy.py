"""Real clusters of processes on the loopback train as one process does."""

from collections.abc import Sequence
import dataclasses
from pathlib import Path
import random
import signal
import time
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_port import distribution
from keras_port.checkpoints import read_record
from tests.distribution.cluster import errors_of
from tests.distribution.cluster import finished
from tests.distribution.cluster import free_addresses
from tests.distribution.cluster import seen_by
from tests.distribution.cluster import started
from tests.distribution.worker import Job

# All values that a worker leaves, but for the losses since its last start.
KEPT = ("weights", "slots", "val_loss", "val_step", "best_step", "step")
SECONDS = 60
# After a connection that was closed. On a busy machine an import takes longer
# than the rest.
SECONDS_IF_CLOSED = 15
KILLS = 20
SEED = 5


def check_alike(workers: Sequence[dict[str, Any]]) -> None:
    """Checks that all workers have the same, to the bit."""
    for other in workers[1:]:
        for name, value in workers[0].items():
            np.testing.assert_array_equal(value, other[name], err_msg=name)


def check_near(
    workers: Sequence[dict[str, Any]], one: dict[str, Any], tolerance: float
) -> None:
    """Checks that the workers have what one process has."""
    check_alike(workers)
    for name in ("weights", "losses", "val_loss", "val_step", "step"):
        np.testing.assert_allclose(
            workers[0][name],
            one[name],
            rtol=tolerance,
            atol=tolerance,
            err_msg=name,
        )


def files_in(folder: str) -> set[str]:
    """Returns the files of a run, without those of the test itself."""
    return {
        str(path.relative_to(folder))
        for path in Path(folder).rglob("*")
        if path.is_file() and not path.name.startswith(("worker-", "events"))
    }


@pytest.mark.fault("B50")
def test_two_workers_are_one_process_and_the_chief_writes(
    tmp_path: Path,
) -> None:
    job = Job(str(tmp_path / "two"), 20, "float64")
    two = finished(job, 2)
    one = finished(dataclasses.replace(job, workdir=str(tmp_path / "one")), 0)
    check_near(two, one[0], 1e-12)
    assert files_in(job.workdir) == files_in(str(tmp_path / "one"))
    errors = errors_of(job, 1)
    assert "Traceback" not in errors
    for run in ("two", "one"):
        events = list((tmp_path / run / "logs").rglob("events.*"))
        assert len(events) == 2, events


@pytest.mark.slow
@pytest.mark.fault("B57")
def test_a_lost_worker_ends_the_other_and_all_resume_to_the_same_bits(
    tmp_path: Path,
) -> None:
    job = Job(str(tmp_path / "run"), 20, "float64", pause_at=(1, 7))
    with started(job, 2) as (chief, other):
        other.communicate(timeout=300)
        since = time.monotonic()
        chief.communicate(timeout=SECONDS)
        assert time.monotonic() - since < SECONDS
        assert chief.returncode == 1
    assert "LostWorkerError: Worker 0 of 2 has lost worker 1" in errors_of(
        job, 0
    )
    resumed = finished(dataclasses.replace(job, pause_at=None), 2)
    plain = finished(Job(str(tmp_path / "plain"), 20, "float64"), 2)
    check_alike(resumed)
    for name in KEPT:
        np.testing.assert_array_equal(resumed[0][name], plain[0][name])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize(
    ("floatx", "steps", "tolerance"),
    # In float32 rounding alone drives the weights apart after some steps.
    [("float32", 5, 1e-6), ("float64", 20, 1e-12)],
)
@pytest.mark.fault("B50")
def test_workers_are_one_process(
    tmp_path: Path, workers: int, floatx: str, steps: int, tolerance: float
) -> None:
    job = Job(str(tmp_path / "several"), steps, floatx)
    several = finished(job, workers)
    one = finished(dataclasses.replace(job, workdir=str(tmp_path / "one")), 0)
    check_near(several, one[0], tolerance)


@pytest.mark.slow
def test_all_stop_early_at_the_same_step(tmp_path: Path) -> None:
    job = Job(str(tmp_path / "three"), 400, "float64", patience=3, eval_freq=2)
    three = finished(job, 3)
    one = finished(dataclasses.replace(job, workdir=str(tmp_path / "one")), 0)
    check_alike(three)
    assert 0 < three[0]["stopped_step"] < 400
    assert three[0]["stopped_step"] == one[0]["stopped_step"]
    assert three[0]["best_step"] == one[0]["best_step"]


@pytest.mark.slow
@pytest.mark.fault("B56")
def test_saving_every_tenth_step_leaves_one_valid_file(tmp_path: Path) -> None:
    job = Job(str(tmp_path), 100, save_freq=10, eval_freq=10)
    check_alike(finished(job, 2))
    assert files_in(job.workdir) == {
        "model.keras",
        "state/.lock",
        "state/state-00000090.npz",
        "state/state-00000100.npz",
    }
    assert read_record(tmp_path / "model.keras") is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "worker"),
    [
        (3, 1),
        pytest.param(2, 0, marks=pytest.mark.slow),
        pytest.param(2, 1, marks=pytest.mark.slow),
        pytest.param(3, 0, marks=pytest.mark.slow),
    ],
)
@pytest.mark.fault("R19")
def test_sigterm_on_one_saves_and_ends_all(
    tmp_path: Path, workers: int, worker: int
) -> None:
    job = Job(
        str(tmp_path / "run"),
        20,
        pause_at=(worker, 7),
        pause_signal=int(signal.SIGTERM),
    )
    ended = finished(job, workers)
    check_alike(ended)
    assert ended[0]["received"] == "SIGTERM"
    # The signal comes behind the callback that asks for it.
    assert ended[0]["step"] in (7, 8)
    assert f"state/state-{ended[0]['step']:08d}.npz" in files_in(job.workdir)


@pytest.mark.slow
@pytest.mark.fault("B57")
def test_a_worker_that_hangs_ends_the_other_within_a_minute(
    tmp_path: Path,
) -> None:
    job = Job(
        str(tmp_path),
        1000,
        pause_at=(1, 20),
        pause_signal=int(signal.SIGSTOP),
    )
    with started(job, 2) as (chief, other):
        assert other.stdout is not None
        for line in other.stdout:
            if line == "step 20\n":
                break
        since = time.monotonic()
        chief.communicate(timeout=2 * SECONDS)
        assert time.monotonic() - since < SECONDS
    assert "Worker 0 of 2 has lost worker 1" in errors_of(job, 0)


@pytest.mark.slow
@pytest.mark.fault("B50", "B57")
def test_a_cluster_killed_20_times_ends_to_the_same_bits(
    tmp_path: Path,
) -> None:
    generator = random.Random(SEED)
    steps = 5 * KILLS
    job = Job(str(tmp_path / "killed"), steps, slow=0.02)
    at = 0
    for _ in range(KILLS):
        # The newest snapshot is of a multiple of 5 steps, so a kill 5 to 9
        # steps later leaves the run something to gain.
        at = min(at + generator.randint(5, 9), steps - 1)
        worker = generator.randrange(3)
        killed = dataclasses.replace(job, pause_at=(worker, at))
        with started(killed, 3) as processes:
            for process in processes:
                process.communicate(timeout=300)
            codes = [process.returncode for process in processes]
        assert codes.pop(worker) == -signal.SIGKILL, codes
        assert codes == [1, 1], errors_of(job, (worker + 1) % 3)
        at -= at % 5
    resumed = finished(job, 3)
    plain = finished(Job(str(tmp_path / "plain"), steps), 3)
    check_alike(resumed)
    for name in KEPT:
        np.testing.assert_array_equal(resumed[0][name], plain[0][name])
    assert seen_by(job, 2)["step"] == steps


def test_it_comes_before_the_first_tensor() -> None:
    tf.constant(1)
    with pytest.raises(RuntimeError, match="must be called before TensorFlow"):
        distribution.multi_worker_strategy(free_addresses(1), index=0)


@pytest.mark.parametrize(
    ("workers", "phase"),
    [
        pytest.param(3, "start", marks=pytest.mark.slow),
        (2, "built"),
        pytest.param(3, "built", marks=pytest.mark.slow),
        pytest.param(2, "test", marks=pytest.mark.slow),
        pytest.param(3, "test", marks=pytest.mark.slow),
    ],
)
@pytest.mark.fault("R13", "R17")
def test_a_worker_killed_in_any_phase_ends_the_others(
    tmp_path: Path, workers: int, phase: str
) -> None:
    job = Job(str(tmp_path), 4, dies=(1, phase))
    with started(job, workers) as processes:
        processes[1].communicate(timeout=300)
        since = time.monotonic()
        others = [0, *range(2, workers)]
        for index in others:
            processes[index].communicate(timeout=SECONDS)
        assert time.monotonic() - since < SECONDS_IF_CLOSED
    for index in others:
        # One that TensorFlow holds is ended from outside.
        assert processes[index].returncode in (1, -signal.SIGKILL)
        errors = errors_of(job, index)
        assert f"Worker {index} of {workers} has lost worker 1 (" in errors


@pytest.mark.slow
@pytest.mark.fault("R16")
def test_workers_with_different_steps_all_say_so(tmp_path: Path) -> None:
    job = Job(str(tmp_path), 4, different=1)
    with started(job, 2) as processes:
        for process in processes:
            process.communicate(timeout=SECONDS)
            assert process.returncode == 1
    for index in (0, 1):
        assert "steps_per_epoch is 4 on worker 0, 8 on worker 1" in errors_of(
            job, index
        )


@pytest.mark.slow
@pytest.mark.fault("R15")
def test_one_worker_that_is_started_alone_ends(tmp_path: Path) -> None:
    addresses = free_addresses(2)
    job = Job(str(tmp_path), 1000, slow=0.1, timeout=8.0)
    with started(job, 2, addresses) as (chief, other):
        for line in other.stdout or ():
            if line == "step 3\n":
                break
        other.kill()
        other.communicate(timeout=SECONDS)
        with started(job, 2, addresses, only=1) as (again,):
            again.communicate(timeout=SECONDS)
            assert again.returncode == 1
        chief.communicate(timeout=SECONDS)
        assert chief.returncode == 1
    assert "TimeoutError: Worker 1 has waited 8 s" in errors_of(job, 1)


@pytest.mark.slow
@pytest.mark.fault("B57")
def test_a_worker_that_fails_before_the_training_ends_the_other(
    tmp_path: Path,
) -> None:
    job = Job(str(tmp_path), 20, fails=1)
    with started(job, 2) as (chief, other):
        other.communicate(timeout=300)
        since = time.monotonic()
        chief.communicate(timeout=2 * SECONDS)
        assert time.monotonic() - since < SECONDS
        assert (chief.returncode, other.returncode) == (1, 1)
    assert "it ended with ValueError: This worker fails" in errors_of(job, 0)
