"""How `train_cnn.py` trains: the course's way, and a much shorter one."""

import dataclasses
import pathlib
import re

from absl import flags
import tensorflow as tf

CPU_FLAGS = r"\b(avx512_bf16|amx_bf16|bf16)\b"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What two ways to train the same network differ in.

    Args:
        batch_size: Examples per step.
        hard_examples: Examples of each batch to train on, drawn by their loss,
            `None` for all.
        hard_examples_warmup: Batches, the first ones, cut to so many examples.
        max_steps: Steps at the most; with `one_cycle` the length of the cycle.
        eval_freq: Steps between validations, `None` for one at the end.
        learning_rate: Of the optimizer; with `one_cycle` its peak.
        one_cycle: Whether the learning rate rises once and falls to 0.
        dropout_rate: Probability of dropping a value in training.
        kernel_initializer: Of the initial weights, `None` for the course's.
        max_shift: Pixels by which training images are moved, at the most.
        half_precision: Whether to compute in bfloat16 on machines that have
            it.
    """

    batch_size: int = 100
    hard_examples: int | None = None
    hard_examples_warmup: int = 0
    max_steps: int = 20_000
    eval_freq: int | None = 100
    learning_rate: float = 1e-4
    one_cycle: bool = False
    dropout_rate: float = 0.5
    kernel_initializer: str | None = None
    max_shift: int = 0
    half_precision: bool = False

    def set_defaults(self, values: flags.FlagValues = flags.FLAGS) -> None:
        """Gives the flags that were not given the values of the recipe."""
        for name in ("batch_size", "max_steps", "learning_rate"):
            values.set_default(name, getattr(self, name))
        values.set_default("eval_freq", self.eval_freq or values.max_steps)

    def precision(self) -> str:
        """Returns the precision that the recipe takes on this machine."""
        half = self.half_precision and has_bfloat16()
        return "bfloat16" if half else "float32"


RECIPES = {
    "course": Recipe(),
    # Measured one by one in docs/speed.md, "The fast recipe".
    "fast": Recipe(
        batch_size=300,
        hard_examples=64,
        hard_examples_warmup=150,
        max_steps=550,
        # The model is at its best where the rate has fallen to 0.
        eval_freq=None,
        learning_rate=3e-3,
        one_cycle=True,
        dropout_rate=0.25,
        kernel_initializer="he_normal",
        max_shift=2,
        half_precision=True,
    ),
}


def has_bfloat16() -> bool:
    """Tells whether this machine computes bfloat16 faster than float32."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return details.get("compute_capability", (0, 0)) >= (8, 0)
    cpu = pathlib.Path("/proc/cpuinfo")
    return cpu.exists() and bool(re.search(CPU_FLAGS, cpu.read_text()))
