"""Event files are read as far as they are whole, and no further."""

import os
from pathlib import Path
import random
import struct
import time
import tracemalloc

import pytest
import tensorflow as tf

from keras_port._support import mask_checksum
from keras_port.callbacks import TensorBoard
from keras_port.callbacks.tensorboard.event_files import SUFFIX
from keras_port.callbacks.tensorboard.event_files import event_files
from keras_port.callbacks.tensorboard.event_files import get_last_step
from keras_port.callbacks.tensorboard.event_files import keep_steps
from keras_port.callbacks.tensorboard.event_records import HEADER
from keras_port.callbacks.tensorboard.event_records import find_frames
from keras_port.callbacks.tensorboard.event_records import read_event_file
from tests.callbacks.tensorboard.test_runs import write_steps
from tests.callbacks.tensorboard.written import steps_of
from tests.small import small_batches
from tests.small import small_model
from tests.small import train

NAME = f"events.out.tfevents.0000000001.x{SUFFIX}"


def steps_in(path: Path) -> list[int]:
    """Returns the steps of all points in an event file."""
    return [
        event.step
        for _, event in read_event_file(path).records
        if event.HasField("summary")
    ]


@pytest.mark.fault("R9")
def test_a_damaged_record_loses_itself_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_steps(tmp_path, range(1, 6))
    whole = path.read_bytes()
    with path.open("rb") as file:
        frames, _ = find_frames(file, len(whole))
    start, length = frames[-3]  # Step 3.
    place = start + HEADER + length // 2
    path.write_bytes(whole[:place] + b"\xff\0\xff" + whole[place + 3 :])
    assert steps_in(path) == [1, 2, 4, 5]
    keep_steps(tmp_path, 5)
    assert "after step 2 and before step 4 are lost" in caplog.text
    assert str(path) in caplog.text
    # The file is whole again.
    caplog.clear()
    keep_steps(tmp_path, 5)
    assert steps_of(tmp_path, "", "x") == [1, 2, 4, 5]
    assert caplog.text == ""


@pytest.mark.fault("R9")
def test_a_file_that_is_zero_from_somewhere_on_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_steps(tmp_path, range(1, 6))
    whole = path.read_bytes()
    cut = len(whole) // 2
    path.write_bytes(whole[:cut] + bytes(len(whole) - cut))
    last = steps_in(path)[-1]
    keep_steps(tmp_path, 5)
    assert f"after step {last} and before step 5 may be lost" in caplog.text


@pytest.mark.fault("B28")
def test_what_a_kill_has_cut_off_is_not_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_steps(tmp_path, range(1, 6))
    path.write_bytes(path.read_bytes()[:-3])
    keep_steps(tmp_path, 4)
    assert steps_of(tmp_path, "", "x") == [1, 2, 3, 4]
    assert caplog.text == ""


@pytest.mark.fault("R9")
def test_a_record_of_something_else_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff\xff\xff")
        writer.write(tf.compat.v1.Event(step=3).SerializeToString())
    assert [e.step for _, e in read_event_file(path).records] == [3]
    assert get_last_step(tmp_path) is None


@pytest.mark.parametrize("length", [2**40, 2**64 - 1, 101])
def test_a_record_that_claims_too_much_takes_no_memory(
    tmp_path: Path, length: int
) -> None:
    """S10."""
    header = struct.pack("<Q", length)
    (tmp_path / NAME).write_bytes(header + mask_checksum(header) + bytes(100))
    tracemalloc.start()
    assert get_last_step(tmp_path) is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_pipe_and_a_device_are_left_out(tmp_path: Path) -> None:
    """S9."""
    os.mkfifo(tmp_path / NAME)
    (tmp_path / f"events.out.tfevents.2.x{SUFFIX}").symlink_to("/dev/zero")
    (tmp_path / f"events.out.tfevents.3.x{SUFFIX}").mkdir()
    assert event_files(tmp_path) == []
    assert get_last_step(tmp_path) is None


@pytest.mark.fault("R9")
@pytest.mark.parametrize(
    "count", [40, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_mutated_files_are_read(tmp_path: Path, count: int) -> None:
    path = write_steps(tmp_path, range(1, 6))
    whole = path.read_bytes()
    chance = random.Random(3)
    for _ in range(count):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(content))
            size = chance.choice([1, 1, 2, 8, 50])
            part = chance.choice([bytes(size), chance.randbytes(size), b""])
            content[start : start + size] = part
        path.write_bytes(content)
        # What is read was written.
        assert set(steps_in(path)) <= {1, 2, 3, 4, 5}
        keep_steps(tmp_path, 3)
        for kept in event_files(tmp_path):
            assert set(steps_in(kept)) <= {1, 2, 3}
            assert not read_event_file(kept).gaps


@pytest.mark.fault("R10")
def test_a_new_file_is_the_last_one_after_the_clock_went_back(
    tmp_path: Path,
) -> None:
    model = small_model()
    train(model, [TensorBoard(tmp_path)], steps=3)
    train(model, [TensorBoard(tmp_path)], steps=3)
    # As if both had been written an hour from now.
    later = int(time.time()) + 3600
    for number, path in enumerate(event_files(tmp_path / "train")):
        end = path.name.partition(".tfevents.")[2].partition(".")[2]
        path.rename(
            path.with_name(f"events.out.tfevents.{later + number}.{end}")
        )
    model.fit(
        small_batches(),
        steps_per_epoch=3,
        callbacks=[TensorBoard(tmp_path)],
        verbose=0,
    )
    # In the order in which TensorBoard reads the files.
    found = [steps_in(path) for path in event_files(tmp_path / "train")]
    assert [max(steps) for steps in found] == [3, 6, 9]
