"""Says whether the course's CNN trains to the same accuracy as in TensorFlow 1.

The course's recipe for the same number of steps, without an early stop, by

- fit: `fit` over `shuffled_batches`, as `examples/train_cnn.py` trains;
- next_batch: the same model over the batches of `next_batch`, the course's;
- session: a TensorFlow 1 session, fed with `next_batch`.

Validation and test accuracy are measured every --eval_freq steps from
--first_eval on. Each measurement is a line of JSON in --output, written at
once. The same command skips the runs that are complete in this file, and starts
an interrupted run again. The tables compare the kinds by a permutation test.
They cover only runs that reached --steps, so they can be printed at any time
with --summary.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import itertools
import json
import math
import os
import pathlib
import statistics
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from absl import app
from absl import flags
import keras
import numpy as np
import tensorflow as tf

from benchmarks import report
from benchmarks.peers import keras_port_fit
from benchmarks.peers import tf1_job
from benchmarks.peers import tf1_session
from benchmarks.peers import work as peers_work
from benchmarks.peers.work import Images
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from keras_port import datasets
from keras_port import training

v1 = tf.compat.v1
# Images of an evaluation in the session at a time, to spare the memory.
SLICE = 1000
# More ways to divide the runs are sampled, not counted.
MOST_DIVISIONS = 200_000

# The steps that are done, with the accuracies of validation and test.
Accuracies = Iterator[tuple[int, float, float]]
# Kind and seed.
Key = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One line of the file.

    Args:
        kind: What has trained.
        seed: Of weights, dropout and order.
        step: Training steps before it.
        validation_accuracy: Over all images of the split.
        test_accuracy: Over all images of the split.
        seconds: Since the start of the run.
    """

    kind: str
    seed: int
    step: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_string("output", None, "File of the lines.", required=True)
    flags.DEFINE_string("json", None, "File to write every number to.")
    flags.DEFINE_integer("seeds", 8, "Runs of each kind.", lower_bound=1)
    flags.DEFINE_integer("steps", 8000, "Steps of a run.", lower_bound=1)
    flags.DEFINE_integer(
        "eval_freq", 500, "Steps between evaluations.", lower_bound=1
    )
    flags.DEFINE_integer(
        "first_eval", 3000, "Step of the first evaluation.", lower_bound=1
    )
    flags.DEFINE_list(
        "kinds", list(KINDS), f"What trains, of {', '.join(KINDS)}."
    )
    flags.register_validator(
        "kinds",
        lambda names: bool(names) and set(names) <= set(KINDS),
        message=f"must be some of {', '.join(KINDS)}",
    )
    flags.DEFINE_bool("summary", False, "Print the tables, and train nothing.")


def train_fit(work: Work, data: Mnist) -> Accuracies:
    """Trains by `fit` over `shuffled_batches`."""
    splits = keras_port_fit.splits_of(data)

    def batches(model: keras.Model) -> tf.data.Dataset:
        return datasets.shuffled_batches(
            splits.train,
            work.batch_size,
            seed=work.seed,
            start_batch=int(model.optimizer.iterations),
            image_shape=model.input_shape[1:],
        )

    return train_model(work, splits, batches)


def train_next_batch(work: Work, data: Mnist) -> Accuracies:
    """Trains by `fit` over the batches of `next_batch`."""
    splits = keras_port_fit.splits_of(data)
    train = datasets.ImageSplit(*data.train, seed=work.seed)

    def batches(
        model: keras.Model,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            x, y = train.next_batch(work.batch_size)
            # As integers, the labels of the evaluations.
            yield x.reshape(-1, *model.input_shape[1:]), y.argmax(axis=1)

    return train_model(work, splits, batches)


def train_model(
    work: Work,
    splits: datasets.Splits,
    batches: Callable[[keras.Model], Any],
) -> Accuracies:
    """Trains the package's model, and evaluates it every `eval_freq` steps."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(work.seed)
    model = keras_port_fit.build_model(work)
    evaluators = [
        training.Evaluator(model, split)
        for split in (splits.validation, splits.test)
    ]
    for step in steps_of_evaluations(work):
        done = int(model.optimizer.iterations)
        model.fit(
            batches(model),
            steps_per_epoch=step - done,
            shuffle=False,
            verbose=0,
        )
        validation, test = (
            evaluator.evaluate()["accuracy"] for evaluator in evaluators
        )
        yield step, validation, test


def train_session(work: Work, data: Mnist) -> Accuracies:
    """Trains in a TensorFlow 1 session."""
    net = tf1_session.build_network(work)
    train = datasets.ImageSplit(*data.train, seed=work.seed)
    done = 0
    with v1.Session(graph=net.graph) as session:
        session.run(net.init)
        for step in steps_of_evaluations(work):
            for _ in range(step - done):
                x, y = train.next_batch(work.batch_size)
                session.run(net.train, {net.x: x, net.y: y, net.keep_prob: 0.5})
            done = step
            yield (
                step,
                session_accuracy(session, net, data.validation),
                session_accuracy(session, net, data.test),
            )


def session_accuracy(
    session: Any, net: tf1_session.Network, images: Images
) -> float:
    """Returns the accuracy over all images, without dropout."""
    correct = 0.0
    for start in range(0, len(images.labels), SLICE):
        part = Images(*(each[start : start + SLICE] for each in images))
        accuracy = session.run(net.accuracy, tf1_job.feeds(net, part))
        correct += float(accuracy) * len(part.labels)
    return correct / len(images.labels)


KINDS: dict[str, Callable[[Work, Mnist], Accuracies]] = {
    "fit": train_fit,
    "next_batch": train_next_batch,
    "session": train_session,
}


def steps_of_evaluations(work: Work, first: int | None = None) -> list[int]:
    """Returns the steps after which a run is evaluated; the last one is one.

    Args:
        work: With the number of steps and `eval_freq`.
        first: Step of the first evaluation. Defaults to the flag.
    """
    first = flags.FLAGS.first_eval if first is None else first
    steps = range(min(first, work.steps), work.steps, work.eval_freq)
    return [*steps, work.steps]


def measure(
    kinds: Iterable[str],
    work: Work,
    data: Mnist,
    *,
    seeds: int,
    output: pathlib.Path,
) -> None:
    """Trains every kind with seed 1, then every kind with seed 2, and so on.

    Args:
        kinds: Names of the kinds.
        work: What a run is made of, but for the seed.
        data: The images.
        seeds: Runs of each kind.
        output: File to which each evaluation adds a line.
    """
    for seed, kind in itertools.product(range(1, seeds + 1), kinds):
        if (kind, seed) in complete_runs(read(output), work.steps):
            continue
        started = time.perf_counter()
        for step, validation, test in KINDS[kind](
            dataclasses.replace(work, seed=seed), data
        ):
            seconds = round(time.perf_counter() - started, 1)
            evaluation = Evaluation(
                kind, seed, step, round(validation, 6), round(test, 6), seconds
            )
            append(output, evaluation)


def append(path: pathlib.Path, evaluation: Evaluation) -> None:
    """Adds a line to a file, on a line of its own."""
    line = json.dumps(dataclasses.asdict(evaluation))
    # A process that is killed can leave a part of a line.
    start = "" if not path.exists() or path.read_bytes()[-1:] == b"\n" else "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{start}{line}\n")


def read(path: pathlib.Path) -> list[Evaluation]:
    """Returns the lines of a file, but for those that were cut off."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines()
    return [Evaluation(**json.loads(x)) for x in lines if x.endswith("}")]


def complete_runs(
    evaluations: Iterable[Evaluation], steps: int
) -> dict[Key, list[Evaluation]]:
    """Returns the runs that reached `steps`, in the order of their steps.

    A run that was started again counts with its last values.
    """
    found: dict[Key, dict[int, Evaluation]] = {}
    for one in evaluations:
        if one.step <= steps:
            found.setdefault((one.kind, one.seed), {})[one.step] = one
    return {
        key: [run[step] for step in sorted(run)]
        for key, run in found.items()
        if steps in run
    }


def permutation_p_value(left: Sequence[float], right: Sequence[float]) -> float:
    """Returns how often chance alone makes means differ as much as these.

    Of all ways to divide the values into two groups of these sizes, the part in
    which the means differ at least as much; two-sided. Assumes no distribution.
    """
    values = np.asarray([*left, *right])
    count, total = len(left), math.comb(len(left) + len(right), len(left))
    if total <= MOST_DIVISIONS:
        chosen = np.array([*itertools.combinations(range(len(values)), count)])
    else:
        generator = np.random.default_rng(1)
        orders = [
            generator.permutation(len(values))[:count]
            for _ in range(MOST_DIVISIONS)
        ]
        chosen = np.array(orders)
    ours = values[chosen].sum(axis=1)
    differences = np.abs(
        ours / count - (values.sum() - ours) / (len(values) - count)
    )
    observed = abs(np.mean(left) - np.mean(right))
    # Sums in another order differ in their last bits.
    return float(np.mean(differences >= observed - 1e-12))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run comes to.

    Args:
        at_end: Test accuracy at the last step.
        late_mean: Mean of the test accuracies of all evaluations, which varies
            less from run to run.
        at_best: Test accuracy at the step with the best validation, which an
            early stop would keep.
    """

    at_end: float
    late_mean: float
    at_best: float


def outcome(run: Sequence[Evaluation]) -> Outcome:
    """Returns what the evaluations of a run come to."""
    # The first of equal ones, which a course's early stop keeps.
    best = max(run, key=lambda one: one.validation_accuracy)
    return Outcome(
        at_end=run[-1].test_accuracy,
        late_mean=statistics.mean(one.test_accuracy for one in run),
        at_best=best.test_accuracy,
    )


TITLES = {
    "at_end": "Test accuracy at the last step",
    "late_mean": "Mean test accuracy of the evaluations",
    "at_best": "Test accuracy at the best validation",
}


def summarize(runs: Mapping[Key, Sequence[Evaluation]]) -> str:
    """Returns a row for each run, and a table for each way to compare them."""
    rows = [["kind", "seed", "steps", "validation", "test", "s"]]
    for (kind, seed), run in sorted(runs.items()):
        last = run[-1]
        rows.append(
            [
                kind,
                str(seed),
                f"{last.step:,}",
                f"{last.validation_accuracy:.4f}",
                f"{last.test_accuracy:.4f}",
                f"{last.seconds:,.0f}",
            ]
        )
    parts = [to_markdown(rows)]
    parts += [compare(name, title, runs) for name, title in TITLES.items()]
    return "\n\n".join(parts)


def compare(
    name: str, title: str, runs: Mapping[Key, Sequence[Evaluation]]
) -> str:
    """Returns the means of the kinds, and a p-value for every pair.

    Args:
        name: Attribute of `Outcome`.
        title: Printed above.
        runs: The evaluations of each run.
    """
    values: dict[str, list[float]] = {}
    for (kind, _), run in sorted(runs.items()):
        values.setdefault(kind, []).append(getattr(outcome(run), name))
    rows = [["kind", "runs", "mean", "standard deviation", "lowest", "highest"]]
    for kind, each in values.items():
        spread = statistics.stdev(each) if len(each) > 1 else math.nan
        numbers = (statistics.mean(each), spread, min(each), max(each))
        rows.append(
            [kind, str(len(each)), *(f"{number:.5f}" for number in numbers)]
        )
    lines = [title, "", to_markdown(rows), ""]
    for left, right in itertools.combinations(values, 2):
        difference = statistics.mean(values[left])
        difference -= statistics.mean(values[right])
        p_value = permutation_p_value(values[left], values[right])
        lines.append(
            f"{left} - {right}: {difference:+.5f}, p = {p_value:.3f} "
            "(permutation test, two-sided)"
        )
    return "\n".join(lines).rstrip()


def to_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table; the first row is its head."""
    head, *others = rows
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(_: list[str]) -> None:
    """Runs the script with the values of the flags."""
    values = flags.FLAGS
    v1.logging.set_verbosity(v1.logging.ERROR)
    output = pathlib.Path(values.output)
    if not values.summary:
        measure(
            values.kinds,
            Work(steps=values.steps, eval_freq=values.eval_freq),
            peers_work.load_mnist(),
            seeds=values.seeds,
            output=output,
        )
    runs = complete_runs(read(output), values.steps)
    print(summarize(runs))
    packages = ", ".join(f"{k} {v}" for k, v in report.versions().items())
    print(f"\n{packages}; {report.machine()}; {report.now()}")
    if values.json:
        content = {
            "runs": [
                dataclasses.asdict(one) for run in runs.values() for one in run
            ],
            "versions": report.versions(),
            "machine": report.machine(),
            "date": report.now(),
            "command": report.command(),
        }
        text = json.dumps(content, indent=2)
        pathlib.Path(values.json).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    define_flags()
    app.run(main)
