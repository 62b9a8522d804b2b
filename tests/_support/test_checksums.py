"""The checksum is that of TensorFlow's own files."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_port._support import mask_checksum


def test_the_checksum_is_the_one_that_tensorflow_writes(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(1)
    for length in (0, 1, 8, 1000):
        record = generator.bytes(length)
        with tf.io.TFRecordWriter(str(tmp_path / "records")) as writer:
            writer.write(record)
        content = (tmp_path / "records").read_bytes()
        assert content[8:12] == mask_checksum(content[:8])
        assert content[12 + length :] == mask_checksum(record)
