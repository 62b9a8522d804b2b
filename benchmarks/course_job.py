"""Measures the time of the whole job of lesson 3 for a fixed number of steps.

The job: train the CNN with batches of 100, validate on 5,000 images every 100
steps, save the model every time it improves, write curves and histograms for
TensorBoard, and test the best weights at the end. In turn with

- keras_port: the function that `examples/train_cnn.py` calls;
- tf1: a TensorFlow 1 session, always in float32;
- keras: stock Keras as its guides show it;
- keras_tuned: stock Keras as fast as it gets: batches by index, many steps per
  call, validation in large batches.

The last two run without autotuning, which can make the end of `fit` wait for
seconds. The time includes building the graphs, but not the imports.
"""

from collections.abc import Mapping
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags

from benchmarks import report
from benchmarks.peers import processes
from benchmarks.peers.processes import Kind
from benchmarks.peers.work import Work

KINDS = {
    "keras_port": Kind("keras_port_job:make"),
    "tf1": Kind("tf1_job:make"),
    "keras": Kind("keras_job:make"),
    "keras_tuned": Kind("keras_job:make_tuned"),
}


def define_flags() -> None:
    """Defines the flags of this script."""
    report.define_flags(rounds=3)
    flags.DEFINE_integer("steps", 2000, "Steps of the job.", lower_bound=2)
    flags.DEFINE_integer(
        "eval_freq", 100, "Steps between validations.", lower_bound=1
    )
    flags.DEFINE_multi_enum(
        "precision",
        ["float32"],
        ["float32", "bfloat16"],
        "Precision of the computation.",
    )
    flags.DEFINE_multi_enum("kind", list(KINDS), list(KINDS), "Who does it.")


def measure(
    works: list[Work], rounds: int, kinds: Mapping[str, Kind]
) -> report.Report:
    """Measures the kinds in turn for every work."""
    with processes.start_peers(kinds) as peers:
        tables = [
            report.Table(
                f"{work.steps:,} steps, {work.precision}",
                "s",
                report.measure_in_turn(peers.make(work), rounds),
                subject="keras_port" if "keras_port" in kinds else None,
                digits=1,
                notes=peers.notes,
            )
            for work in works
        ]
        return report.Report(tables, report.versions(()) | peers.versions())


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    works = [
        Work(precision=name, steps=values.steps, eval_freq=values.eval_freq)
        for name in values.precision
    ]
    kinds = {kind: KINDS[kind] for kind in values.kind}
    measure(works, values.rounds, kinds).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
