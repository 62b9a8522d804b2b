"""Measures the examples per second of a training, compared with its peers.

Trains the course's networks and a small one (`mlp`) on MNIST, in turn with

- keras_port: `fit` as the examples call it;
- keras_port_compiled: the same with `jit_compile=True`, several steps in one
  program, on images as bytes;
- tf1: the course's loop in a TensorFlow 1 session, always in float32;
- tf_function: a bare loop of a `tf.function` over Keras' layers;
- keras: stock `fit` on arrays;
- keras_tuned: stock `fit` with batches by index, many steps per call and
  without autotuning;
- pytorch, pytorch_compiled: in the faster memory format;
- jax: one compiled step;
- jax_scan: up to 50 steps in one compiled program;
- limit: the operations of the steps as products of large matrices, and
  nothing else.

Every kind is a process that stays alive. The time to build graphs is left out;
the end of `fit` is included. A peer without its environment is left out; see
`setup_peers.py`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags

from benchmarks import report
from benchmarks.peers import processes
from benchmarks.peers.processes import Kind
from benchmarks.peers.work import RECIPES
from benchmarks.peers.work import Work
from benchmarks.peers.work import flop_per_example

KINDS = {
    "keras_port": Kind("keras_port_fit:make"),
    "keras_port_compiled": Kind("keras_port_fit:make_compiled"),
    "tf1": Kind("tf1_session:make"),
    "tf_function": Kind("tf_function:make"),
    "keras": Kind("keras_fit:make_arrays"),
    "keras_tuned": Kind("keras_fit:make_tuned"),
    "pytorch": Kind("pytorch_loop:make_eager", "pytorch"),
    "pytorch_compiled": Kind("pytorch_loop:make_compiled", "pytorch"),
    "jax": Kind("jax_loop:make", "jax"),
    "jax_scan": Kind("jax_loop:make_scan", "jax"),
    "limit": Kind("matrix_product:make"),
}
# The first of these that is measured is compared with every other kind.
SUBJECTS = ("keras_port_compiled", "keras_port")


def define_flags() -> None:
    """Defines the flags of this script."""
    report.define_flags(rounds=3)
    processes.define_flags()
    flags.DEFINE_multi_enum(
        "model", ["cnn"], list(RECIPES), "Networks to train."
    )
    flags.DEFINE_multi_enum(
        "precision",
        ["float32"],
        ["float32", "bfloat16"],
        "Precision of the computation.",
    )
    flags.DEFINE_multi_integer("batch_size", [100], "Examples per step.")
    flags.DEFINE_integer(
        "steps",
        100,
        "Steps of 100 per measurement of the CNN; smaller networks run more, "
        "and larger batches fewer.",
        lower_bound=1,
    )
    flags.DEFINE_multi_enum("kind", list(KINDS), list(KINDS), "What to train.")


def make_works(
    models: Sequence[str],
    precisions: Sequence[str],
    batch_sizes: Sequence[int],
    steps: int,
) -> list[Work]:
    """Returns what to measure; all take about the same time."""
    found = []
    for model, precision, size in itertools.product(
        models, precisions, batch_sizes
    ):
        many = steps * RECIPES[model].steps
        found.append(Work(model, precision, size, max(1, many * 100 // size)))
    return found


def measure(
    works: Sequence[Work], rounds: int, kinds: Mapping[str, Kind]
) -> report.Report:
    """Measures the kinds in turn for every work."""
    tables: list[report.Table] = []
    versions = report.versions(())
    # TensorFlow's threads are set per process, and differ by model.
    for _, same_model in itertools.groupby(works, lambda work: work.model):
        with processes.start_peers(kinds) as peers:
            found = [table(peers, work, rounds) for work in same_model]
            for each in found:
                each.notes.extend(peers.notes)
            tables.extend(found)
            versions |= peers.versions()
    return report.Report(tables, versions)


def table(peers: processes.Peers, work: Work, rounds: int) -> report.Table:
    """Measures the examples per second of every kind."""
    # The products of the others are too small for a meaningful limit.
    ready = peers.make(work, () if work.model == "cnn" else ("limit",))
    seconds = report.measure_in_turn(ready, rounds, warm_up=1)
    examples = work.steps * work.batch_size
    rates = {
        kind: [examples / value for value in values]
        for kind, values in seconds.items()
    }
    found = report.Table(
        f"{work.model}, {work.precision}, batch {work.batch_size}",
        "examples/s",
        rates,
        subject=next((kind for kind in SUBJECTS if kind in rates), None),
        higher_is_faster=True,
    )
    if "tf1" in rates and work.precision != "float32":
        found.notes.append("tf1 is in float32.")
    if "limit" in rates:
        speed = found.medians["limit"] * flop_per_example(work.model) / 1e9
        found.notes.append(
            f"Matrix products reach {speed:,.0f} GFLOP/s; a training example "
            f"takes {flop_per_example(work.model) / 1e6:.1f} MFLOP."
        )
    return found


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    measure(
        make_works(
            values.model, values.precision, values.batch_size, values.steps
        ),
        values.rounds,
        {kind: KINDS[kind] for kind in values.kind},
    ).publish()


if __name__ == "__main__":
    define_flags()
    app.run(main)
