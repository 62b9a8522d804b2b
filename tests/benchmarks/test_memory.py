"""The benchmark of the memory reads it from outside of the process."""

import os
import time

from benchmarks import memory
from benchmarks.peers.processes import Kind
from benchmarks.peers.work import Work


def test_growth_leaves_the_start_out() -> None:
    assert memory.growth([0, 50, *[100] * 6, 107, 109]) == 8
    assert memory.growth([1, 2, 3, 4]) == 0


def test_the_memory_of_a_process_is_read_while_it_works() -> None:
    with memory.sample_memory(os.getpid(), 0.01) as sizes:
        time.sleep(0.2)
    assert sizes
    # The system counts the pages of the two a little apart.
    assert 50 < max(sizes) < memory.read_memory(os.getpid(), "VmHWM") + 10


def test_each_kind_is_a_new_process(quick: Kind) -> None:
    report = memory.measure(Work(steps=2), 2, {"keras_port": quick})
    peak, growth = report.tables
    assert all(size > 10 for size in peak.values["keras_port"])
    assert len(growth.values["keras_port"]) == 2
    assert "numpy" in report.versions
