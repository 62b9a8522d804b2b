"""Measures what `fit` with its callbacks costs compared with a bare loop.

Trains the course's CNN on MNIST, batch 100, in turn with

- bare: a `tf.function` with a `GradientTape` and Keras' Adam over `build_cnn`;
- steps: a `tf.function` of `compute_gradients` and `apply_gradients`, with the
  optimizer of `train_cnn.py`;
- tf1: a TensorFlow 1 session with `feed_dict`, as the course trains;
- train_cnn: the training of `examples/train_cnn.py`, which every 100 steps
  validates on 5,000 images, saves the model if it improved, shows progress, and
  writes the curves, histograms and pictures of TensorBoard.

Every kind is a process that stays alive; the last kind is one training that
continues from turn to turn. Prints examples per second as medians over the
rounds, and their ratios. The time to build the graphs is left out; those of the
last kind are built when it has written its first histograms.
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
    "bare": Kind("bare_loops:make_bare"),
    "steps": Kind("bare_loops:make_steps"),
    "tf1": Kind("tf1_session:make"),
    "train_cnn": Kind("keras_port_job:make_steady"),
}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_integer("steps", 500, "Steps per measurement.", lower_bound=2)
    report.define_flags(rounds=5)


def measure(
    steps: int, rounds: int, kinds: Mapping[str, Kind]
) -> report.Report:
    """Measures the kinds in turn, `rounds` times `steps` steps."""
    work = Work(steps=steps)
    with processes.start_peers(kinds) as peers:
        seconds = report.measure_in_turn(peers.make(work), rounds)
        table = report.Table(
            f"Training of the CNN, batch {work.batch_size}",
            "examples/s",
            {
                kind: [steps * work.batch_size / value for value in values]
                for kind, values in seconds.items()
            },
            bases=tuple(kind for kind in ("bare", "tf1") if kind in seconds),
            higher_is_faster=True,
            notes=peers.notes,
        )
        return report.Report([table], report.versions(()) | peers.versions())


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    measure(flags.FLAGS.steps, flags.FLAGS.rounds, KINDS).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
