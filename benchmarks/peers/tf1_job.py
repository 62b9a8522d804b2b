"""The TensorFlow 1 way: the whole job of lesson 3, with curves.

As a script, it trains with the course's recipe until it stops early, and writes
`results.json` to `--workdir`, as `examples/train_cnn.py` does.
"""

import dataclasses
import json
import pathlib
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from absl import app
from absl import flags
import tensorflow as tf

from benchmarks.peers import tf1_session
from benchmarks.peers import work as peers_work
from benchmarks.peers.work import Images
from benchmarks.peers.work import Measurement
from benchmarks.peers.work import Mnist
from benchmarks.peers.work import Work
from benchmarks.peers.work import time_call
from keras_port import datasets

v1 = tf.compat.v1
# The values of `train_cnn.py`.
UPDATE_FREQ = 10
HISTOGRAM_FREQ = 500
PATIENCE = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results of a job, with the names of `train_cnn.py`."""

    steps: int
    best_step: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
    flags.DEFINE_integer("seed", 1, "Of weights, dropout and order.")
    flags.DEFINE_integer("max_steps", 20_000, "Maximum number of steps.")


def make(work: Work, data: Mnist) -> Measurement:
    """Returns a function that measures a job, from building the graph on."""

    def job() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(work, data, pathlib.Path(folder), patience=work.steps)

    return lambda: time_call(job)


def train(
    work: Work, data: Mnist, folder: pathlib.Path, *, patience: int
) -> Outcome:
    """Trains until the steps are done or validation stops improving.

    Args:
        work: Its `steps` are the maximum.
        data: The images.
        folder: Folder of the best weights and the curves.
        patience: Validations without improvement that end the training.
    """
    started = time.perf_counter()
    net = tf1_session.build_network(work)
    with net.graph.as_default():
        scalars = v1.summary.merge(
            [
                v1.summary.scalar("cross_entropy", net.loss),
                v1.summary.scalar("accuracy", net.accuracy),
            ]
        )
        histograms = v1.summary.merge(
            [
                v1.summary.histogram(variable.op.name, variable)
                for variable in v1.trainable_variables()
            ]
        )
        saver = v1.train.Saver()
    batches = datasets.ImageSplit(*data.train, seed=work.seed)
    validation = feeds(net, data.validation)
    best, best_step, step = -1.0, 0, 0
    with (
        v1.Session(graph=net.graph) as session,
        v1.summary.FileWriter(str(folder / "logs"), net.graph) as writer,
    ):
        session.run(net.init)
        for step in range(1, work.steps + 1):
            x, y = batches.next_batch(work.batch_size)
            given = {net.x: x, net.y: y, net.keep_prob: 0.5}
            if step % UPDATE_FREQ:
                session.run(net.train, given)
            else:
                _, written = session.run([net.train, scalars], given)
                writer.add_summary(written, step)
            if step % HISTOGRAM_FREQ == 0:
                writer.add_summary(session.run(histograms), step)
            if step % work.eval_freq:
                continue
            accuracy = float(session.run(net.accuracy, validation))
            writer.add_summary(point("val_accuracy", accuracy), step)
            if accuracy > best:
                best, best_step = accuracy, step
                saver.save(session, str(folder / "model.ckpt"))
            elif step - best_step >= patience * work.eval_freq:
                break
        if best_step:
            saver.restore(session, str(folder / "model.ckpt"))
        test = float(session.run(net.accuracy, feeds(net, data.test)))
    seconds = time.perf_counter() - started
    return Outcome(step, best_step, best, test, seconds)


def feeds(net: tf1_session.Network, images: Images) -> dict[Any, Any]:
    """Returns the feeds that evaluate all images without dropout."""
    x, y = datasets.ImageSplit(*images).next_batch(len(images.labels))
    return {net.x: x, net.y: y, net.keep_prob: 1.0}


def point(name: str, value: float) -> Any:
    """Returns one point of a curve."""
    return v1.Summary(value=[v1.Summary.Value(tag=name, simple_value=value)])


def main(_: list[str]) -> None:
    """Trains once and writes the results."""
    values = flags.FLAGS
    v1.logging.set_verbosity(v1.logging.ERROR)
    folder = pathlib.Path(values.workdir)
    outcome = train(
        Work(steps=values.max_steps, seed=values.seed),
        peers_work.load_mnist(),
        folder,
        patience=PATIENCE,
    )
    text = json.dumps(dataclasses.asdict(outcome), indent=2)
    (folder / "results.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    define_flags()
    app.run(main)
