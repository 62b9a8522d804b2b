"""One worker of a cluster; `cluster.py` starts as many as it needs.

It trains a small network with every callback, and leaves what it has seen in
`worker-N.npz` of the folder of the run.
"""

import dataclasses
import json
import os
import pathlib
import signal
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from keras_port import callbacks
from keras_port import datasets
from keras_port import distribution
from keras_port import losses
from keras_port import optimizers
from keras_port import training
from tests.distribution.networks import build_small_cnn


@dataclasses.dataclass(frozen=True)
class Job:
    """What a cluster trains.

    Args:
        workdir: Folder that all workers see.
        steps: Steps at the most.
        floatx: Type of weights and calculations. Defaults to "float32".
        eval_freq: Steps between evaluations. Defaults to 4.
        patience: Evaluations without improvement. Defaults to 100.
        save_freq: Steps between snapshots. Defaults to 5.
        slow: Seconds that each step takes longer. Defaults to 0.
        pause_at: Worker and step at which it kills itself, or ends by a
            signal. Defaults to none.
        pause_signal: Number of the signal.
        fails: Worker that raises before it builds its model. Defaults to none.
        dies: Worker and phase in which it kills itself: "start" is after the
            meeting, "built" before `fit`, "test" after it. Defaults to none.
        different: Worker that trains with twice as many steps. Defaults to
            none.
        timeout: Seconds to wait for the others. Defaults to 60.
    """

    workdir: str
    steps: int
    floatx: str = "float32"
    eval_freq: int = 4
    patience: int = 100
    save_freq: int = 5
    slow: float = 0.0
    pause_at: tuple[int, int] | None = None
    pause_signal: int = int(signal.SIGKILL)
    fails: int | None = None
    dies: tuple[int, str] | None = None
    different: int | None = None
    timeout: float = 60.0


class Sees(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes the losses, says where the training is, and sends the signal."""

    def __init__(self, job: Job, index: int) -> None:
        super().__init__()
        self.job = job
        self.index = index
        self.losses: list[float] = []

    def on_train_batch_end(
        self, batch: int, logs: dict[str, float] | None = None
    ) -> None:
        self.losses.append(self.model.batch_loss)
        step = int(self.model.optimizer.iterations.numpy())
        print(f"step {step}", flush=True)
        time.sleep(self.job.slow)
        if self.job.pause_at == (self.index, step):
            os.kill(os.getpid(), self.job.pause_signal)


def die(job: Job, index: int, phase: str) -> None:
    """Ends this process, if it is told to die in this phase."""
    if job.dies == (index, phase):
        print(phase, flush=True)
        os.kill(os.getpid(), job.pause_signal)


def die_at_start(job: Job, index: int) -> None:
    """Lets this process die after it has met the others."""
    create = tf.distribute.MultiWorkerMirroredStrategy

    def create_or_die(**kwargs: Any) -> Any:
        tf.distribute.MultiWorkerMirroredStrategy = create
        die(job, index, "start")
        return create(**kwargs)

    tf.distribute.MultiWorkerMirroredStrategy = create_or_die


def small_split(examples: int, seed: int) -> datasets.ImageSplit:
    """Returns images of 8 x 8 with labels that can be learnt."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (examples, 8, 8)).astype("uint8")
    return datasets.ImageSplit(images, (images[:, 0, 0] // 26).astype("uint8"))


def train(job: Job, strategy: Any, index: int) -> dict[str, Any]:
    """Trains with every callback, and returns what there is to compare."""
    keras.config.set_floatx(job.floatx)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = build_small_cnn()
        model.compile(
            optimizers.Adam(0.01),
            losses.CourseCrossEntropy("sum"),
            metrics=["accuracy"],
        )
    folder = pathlib.Path(job.workdir)
    state = callbacks.TrainingState(folder / "state", save_freq=job.save_freq)
    stopping = callbacks.StepEarlyStopping(patience=job.patience)
    evaluation = callbacks.StepEvaluation(
        small_split(50, 2), eval_freq=job.eval_freq, batch_size=20
    )
    terminate = callbacks.TerminateOnSignal()
    sees = Sees(job, index)
    batches = datasets.shuffled_batches(
        small_split(100, 1),
        7,
        seed=1,
        start_batch=state.batches_seen,
        image_shape=(8, 8, 1),
    )
    die(job, index, "built")
    steps = job.steps * (2 if job.different == index else 1)
    history = model.fit(
        batches,
        steps_per_epoch=steps - state.step,
        callbacks=[
            evaluation,
            stopping,
            callbacks.StepCheckpoint(folder / "model.keras"),
            callbacks.TensorBoard(folder / "logs", histogram_freq=4),
            callbacks.StepProgress(),
            state,
            terminate,
            sees,
        ],
        verbose=0,
    ).history
    die(job, index, "test")
    training.Evaluator(model, small_split(50, 3)).evaluate()
    return {
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]),
        "slots": np.concatenate(
            [np.ravel(np.asarray(v)) for v in model.optimizer.variables]
        ),
        "losses": np.array(sees.losses),
        "val_loss": np.array(history.get("val_loss", [])),
        "val_step": np.array(history.get("val_step", [])),
        "best_step": stopping.best_step or 0,
        "stopped_step": stopping.stopped_step or 0,
        "step": int(model.optimizer.iterations.numpy()),
        "received": str(terminate.received),
    }


def main() -> None:
    """Trains as one worker of the cluster that `TF_CONFIG` names."""
    job = Job(**json.loads(sys.argv[1]))
    if job.pause_at is not None:
        job = dataclasses.replace(job, pause_at=tuple(job.pause_at))
    if job.dies is not None:
        job = dataclasses.replace(job, dies=tuple(job.dies))
    if "TF_CONFIG" in os.environ:
        task = json.loads(os.environ["TF_CONFIG"])["task"]
        die_at_start(job, task["index"])
        strategy: Any = distribution.multi_worker_strategy(timeout=job.timeout)
        index = strategy.cluster_resolver.task_id
    else:
        strategy, index = distribution.mirrored_strategy(1), 0
    if job.fails == index:
        raise ValueError("This worker fails, as it was told to.")
    seen = train(job, strategy, index)
    np.savez(pathlib.Path(job.workdir) / f"worker-{index}.npz", **seen)


if __name__ == "__main__":
    main()
