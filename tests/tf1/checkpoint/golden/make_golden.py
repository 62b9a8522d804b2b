"""Writes the golden TensorFlow 1 checkpoints of this folder.

    python tests/tf1/checkpoint/golden/make_golden.py

Plain TensorFlow 1 in a graph of its own; nothing of this package takes part.
See README.md for when it may be run again.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
HERE = Path(__file__).parent
# As a program on another machine would have left it.
ELSEWHERE = 'model_checkpoint_path: "/home/student/lesson1/model.ckpt"\n'


def main() -> None:
    """Writes lesson 1's checkpoint in both formats."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.placeholder(tf.float32, [None, 784], name="x")
        W = counted([784, 10], "W")
        b = counted([10], "b")
        session.run([W.initializer, b.initializer])
        for version in (1, 2):
            folder = HERE / f"version_{version}"
            folder.mkdir(exist_ok=True)
            saver = v1.train.Saver(write_version=version)
            saver.save(
                session, str(folder / "model.ckpt"), write_meta_graph=False
            )
            (folder / "checkpoint").write_text(ELSEWHERE)


def counted(shape: list[int], name: str) -> tf.Variable:
    """Returns a variable that holds 0, 1, 2, ... in C order."""
    values = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    return v1.Variable(tf.zeros(shape) + values, name=name, use_resource=False)


if __name__ == "__main__":
    main()
