"""Checks on a GPU what is promised for it, in a few minutes.

    pip install -e '.[gpu]'
    python benchmarks/gpu_check.py --json=gpu.json

Every check is a process of its own:

- parity: training steps of both networks on the GPU and on the CPU, from the
  same weights and on the same batches;
- precision: the CNN learns in float32, bfloat16 and float16;
- compiled: many steps in one XLA program give the losses of single steps;
- devices: `mirrored` and `towers` on all GPUs train as one does;
- resume: a run that stops and goes on ends with the same bits as one without a
  pause;
- speed: examples per second, beside PyTorch and JAX where `setup_peers.py` has
  installed them for this machine.

It ends with exit code 1 if a check fails. Without a GPU it takes the CPU, which
shows that the script works and nothing about a GPU.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app
from absl import flags
import keras
import numpy as np
import tensorflow as tf

from benchmarks import report
from benchmarks import train_speed
from benchmarks.peers.work import Work
from keras_port import callbacks
from keras_port import datasets
from keras_port import distribution
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from keras_port import runs

NETWORKS = ("perceptron", "cnn")
STEPS = 20
BATCH = 100
# Steps after which the CNN gets more than nine of ten digits right.
LEARNED = 300
# Relative differences of losses after `STEPS` steps. A GPU adds in another
# order than a CPU, and TF32 has 10 bits where float32 has 23.
PARITY = 1e-3
TF32_PARITY = 2e-2
ACCURACY = 0.9
# Times the speed of stock Keras.
SPEED = 1.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one check has found.

    Args:
        check: Name of the check.
        subject: What was compared.
        value: What was measured.
        limit: What it must not be above, or below.
        is_good: Whether it is on the right side of the limit.
    """

    check: str
    subject: str
    value: float
    limit: str
    is_good: bool

    def to_row(self) -> str:
        """Returns a row of a Markdown table."""
        verdict = "good" if self.is_good else "FAILED"
        cells = (
            self.check,
            self.subject,
            f"{self.value:.3g}",
            self.limit,
            verdict,
        )
        return f"| {' | '.join(cells)} |"


def at_most(check: str, subject: str, value: float, limit: float) -> Outcome:
    """Returns the outcome of a check that a value must not exceed."""
    return Outcome(check, subject, value, f"at most {limit:g}", value <= limit)


def at_least(check: str, subject: str, value: float, limit: float) -> Outcome:
    """Returns the outcome of a check that a value must reach."""
    return Outcome(check, subject, value, f"at least {limit:g}", value >= limit)


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_multi_enum(
        "check", list(CHECKS), list(CHECKS), "What is checked."
    )
    flags.DEFINE_float(
        "minutes",
        8.0,
        "No check starts later, and the running one is ended.",
        lower_bound=0.0,
    )
    flags.DEFINE_integer(
        "speed_steps", 300, "Steps per measurement of the speed.", lower_bound=1
    )
    flags.DEFINE_string("json", None, "File to write every number to.")
    for name in ("outcomes", "losses"):
        flags.DEFINE_string(name, None, "For a check in its own process.")


def build(name: str, **arguments: Any) -> Any:
    """Returns one of the course's networks, compiled, without dropout.

    Args:
        name: One of `NETWORKS`.
        **arguments: Further arguments of `compile`.
    """
    keras.utils.set_random_seed(1)
    if name == "perceptron":
        model: Any = models.build_perceptron()
        optimizer: Any = keras.optimizers.SGD(0.01)
    else:
        model = models.build_cnn(dropout_rate=0.0)
        optimizer = optimizers.Adam(1e-4)
    model.compile(
        optimizer,
        losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
        **arguments,
    )
    return model


def train(model: Any, steps: int) -> np.ndarray:
    """Returns the losses of some steps on MNIST."""
    record = Losses()
    model.fit(
        datasets.shuffled_batches(datasets.load_mnist().train, BATCH, seed=1),
        steps_per_epoch=steps,
        callbacks=[record],
        verbose=0,
    )
    return np.array(record.losses)


class Losses(keras.callbacks.Callback):
    """Keeps the loss of every step's own batch."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keeps the loss of the step."""
        del batch, logs
        self.losses.append(float(self.model.batch_loss))


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the largest difference, relative to the largest value."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def check_parity() -> Iterator[Outcome]:
    """Compares the losses on the GPU with those on the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "losses.npz")
        # Whatever a device scope does, this process has no GPU at all.
        subprocess.run(
            [sys.executable, __file__, "--check=parity", f"--losses={path}"],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
            capture_output=True,
            check=True,
        )
        on_cpu = dict(np.load(path))
    for is_fast, limit in ((False, PARITY), (True, TF32_PARITY)):
        tf.config.experimental.enable_tensor_float_32_execution(is_fast)
        for name in NETWORKS:
            kind = "TF32" if is_fast else "float32"
            yield at_most(
                "parity",
                f"losses of {STEPS} steps, {name}, {kind}",
                largest_difference(train(build(name), STEPS), on_cpu[name]),
                limit,
            )


def check_precision() -> Iterator[Outcome]:
    """Trains the CNN in every precision."""
    validation = datasets.load_mnist().validation
    precisions = ["float32", "mixed_bfloat16"]
    if tf.config.list_physical_devices("GPU"):
        # A CPU takes many minutes.
        precisions.append("mixed_float16")
    for precision in precisions:
        keras.config.set_dtype_policy(precision)
        model = build("cnn")
        train(model, LEARNED)
        accuracy = model.evaluate(validation, verbose=0, return_dict=True)
        yield at_least(
            "precision",
            f"validation accuracy after {LEARNED} steps, {precision}",
            accuracy["accuracy"],
            ACCURACY,
        )


def check_compiled() -> Iterator[Outcome]:
    """Compares steps in one XLA program with steps without XLA."""
    for name in NETWORKS:
        plain = train(build(name, jit_compile=False), STEPS)
        model = build(name, jit_compile=True, steps_per_execution=STEPS)
        train(model, STEPS)
        yield at_most(
            "compiled",
            f"losses of {STEPS} steps in one program, {name}",
            largest_difference(model.step_log.read(0, STEPS).loss, plain),
            PARITY,
        )


def check_devices() -> Iterator[Outcome]:
    """Compares training on several devices with training on one."""
    count = len(tf.config.list_physical_devices("GPU")) or 2
    strategy = distribution.mirrored_strategy(count)
    one = train(build("cnn"), STEPS)
    with strategy.scope():
        mirrored = build("cnn")
    keras.utils.set_random_seed(1)
    towers: Any = distribution.build_towers(
        lambda: models.build_cnn(dropout_rate=0.0), num_devices=count
    )
    towers.compile(
        optimizers.Adam(1e-4),
        losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )
    for name, model in (("mirrored", mirrored), ("towers", towers)):
        yield at_most(
            "devices",
            f"losses of {STEPS} steps, {name} on {count} devices",
            largest_difference(train(model, STEPS), one),
            PARITY,
        )


def check_resume() -> Iterator[Outcome]:
    """Compares a run that stopped with one that did not, bit for bit."""
    tf.config.experimental.enable_op_determinism()
    with tempfile.TemporaryDirectory() as folder:
        whole = run_to(pathlib.Path(folder, "whole"), 2 * STEPS)
        run_to(pathlib.Path(folder, "parts"), STEPS)
        parts = run_to(pathlib.Path(folder, "parts"), 2 * STEPS)
    different = sum(
        int(np.any(one != other))
        for one, other in zip(parts, whole, strict=True)
    )
    yield at_most("resume", "weights that differ in a bit", different, 0)


def run_to(folder: pathlib.Path, steps: int) -> list[np.ndarray]:
    """Returns the weights of a run after some steps."""
    splits = datasets.load_mnist()
    run = runs.Run(
        folder, settings={"seed": 1}, max_steps=steps, save_freq=STEPS // 2
    )
    keras.utils.set_random_seed(1)
    model = models.build_cnn()
    model.compile(optimizers.Adam(1e-4), losses.CourseCrossEntropy("sum"))
    run.fit(
        model,
        lambda start_batch: datasets.shuffled_batches(
            splits.train, BATCH, seed=1, start_batch=start_batch
        ),
        callbacks=[
            callbacks.StepEvaluation(splits.validation[:200], eval_freq=STEPS)
        ],
    )
    weights: list[np.ndarray] = model.get_weights()
    return weights


def check_speed() -> Iterator[Outcome]:
    """Measures the training beside the peers that are installed."""
    names = ("keras_port", "keras", "keras_tuned", "pytorch", "jax")
    found = train_speed.measure(
        [Work("cnn", "float32", BATCH, flags.FLAGS.speed_steps)],
        2,
        {name: train_speed.KINDS[name] for name in names},
    )
    [table] = found.tables
    for note in table.notes:
        report.show_progress(note)
    for name, speed in table.medians.items():
        if name == "keras_port":
            continue
        ratio = table.medians["keras_port"] / speed
        subject = f"keras_port of {name}, which trains {speed:,.0f} examples/s"
        # Faster than stock Keras is promised; the others are for comparison.
        limit = SPEED if name == "keras" else 0.0
        yield at_least("speed", subject, ratio, limit)


CHECKS: dict[str, Callable[[], Iterator[Outcome]]] = {
    "parity": check_parity,
    "precision": check_precision,
    "compiled": check_compiled,
    "devices": check_devices,
    "resume": check_resume,
    "speed": check_speed,
}


def run_check(name: str, seconds: float) -> list[Outcome]:
    """Returns the outcomes of a check in a process of its own.

    A check that fails or takes too long has one outcome that says so.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "outcomes.json")
        command = [sys.executable, __file__, f"--check={name}"]
        command += [f"--speed_steps={flags.FLAGS.speed_steps}"]
        try:
            ended = subprocess.run(
                [*command, f"--outcomes={path}"],
                timeout=seconds,
                capture_output=True,
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            problem = f"not done after {seconds:.0f} s"
            return [Outcome(name, problem, seconds, "its time", is_good=False)]
        if ended.returncode or not path.exists():
            *_, last = ["it said nothing", *ended.stderr.strip().splitlines()]
            return [
                Outcome(
                    name, last, ended.returncode, "exit code 0", is_good=False
                )
            ]
        return [Outcome(**one) for one in json.loads(path.read_text())]


def describe_devices() -> list[str]:
    """Returns the names of the GPUs."""
    return [
        tf.config.experimental.get_device_details(one).get("device_name", "GPU")
        for one in tf.config.list_physical_devices("GPU")
    ]


def main(_: list[str]) -> None:
    """Runs the checks, or one of them in its own process."""
    values = flags.FLAGS
    if values.losses:
        found = {name: train(build(name), STEPS) for name in NETWORKS}
        np.savez(values.losses, **found)
        return
    if values.outcomes:
        [name] = values.check
        outcomes = [dataclasses.asdict(one) for one in CHECKS[name]()]
        pathlib.Path(values.outcomes).write_text(json.dumps(outcomes))
        return
    end = time.monotonic() + 60 * values.minutes
    outcomes_found: list[Outcome] = []
    for name in values.check:
        left = end - time.monotonic()
        report.show_progress(f"{name}, {left:.0f} s left")
        outcomes_found += run_check(name, max(left, 0.0))
    gpus = describe_devices() or ["none: the CPU was checked instead"]
    print(f"GPUs: {', '.join(gpus)}\n")
    print("| check | what | value | limit | verdict |\n|---|---|---|---|---|")
    print("\n".join(one.to_row() for one in outcomes_found))
    if values.json:
        content = {
            "gpus": gpus,
            "versions": report.versions(),
            "machine": report.machine(),
            "outcomes": [dataclasses.asdict(one) for one in outcomes_found],
        }
        pathlib.Path(values.json).write_text(json.dumps(content, indent=1))
    sys.exit(int(not all(one.is_good for one in outcomes_found)))


if __name__ == "__main__":
    define_flags()
    app.run(main)
