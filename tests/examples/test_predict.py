"""The script reads pictures of digits, and says what it cannot read."""

from collections.abc import Callable
import os
from pathlib import Path

import keras
import numpy as np
import predict
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port import models


@pytest.fixture(scope="module")
def workdir(
    mnist: datasets.Splits, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Returns the directory of a perceptron that was trained for a second."""
    keras.utils.set_random_seed(1)
    model = models.build_perceptron()
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    model.fit(
        datasets.shuffled_batches(mnist.train, 100, seed=1),
        steps_per_epoch=300,
        shuffle=False,
        verbose=0,
    )
    folder = tmp_path_factory.mktemp("run")
    model.save(folder / "model.keras")
    return folder


def write_digit(path: Path, image: np.ndarray) -> Path:
    """Writes a test image as a large picture, dark on light."""
    large = np.kron(image.reshape(28, 28), np.ones((9, 9), np.uint8))
    pixels = np.pad(255 - large, 30, constant_values=255)
    path.write_bytes(tf.io.encode_png(pixels[..., None]).numpy())
    return path


def test_it_prints_the_probabilities(
    run_script: Callable[..., tuple[object, str, str]],
    workdir: Path,
    mnist: datasets.Splits,
    tmp_path: Path,
) -> None:
    names = [
        write_digit(tmp_path / f"{number}.png", mnist.test.images[number])
        for number in range(2)
    ]
    code, out, _ = run_script(predict, *names, f"--workdir={workdir}")
    assert code == 0
    lines = out.splitlines()
    assert len(lines) == 22
    model = keras.saving.load_model(workdir / "model.keras")
    for number, name in enumerate(names):
        image = datasets.read_digit(name)
        (parts,) = model.predict(image.reshape(1, 784), verbose=0)
        best = int(mnist.test.labels[number])
        title, *bars = lines[number * 11 : number * 11 + 11]
        assert title == f"{name}: {best}, with {parts[best]:.1%}"
        for digit, (bar, part) in enumerate(zip(bars, parts, strict=True)):
            assert bar.split()[:2] == [str(digit), f"{part:.1%}"]
            assert bar.count("#") == round(float(part) * 40)


def test_it_shows_what_the_network_sees(
    run_script: Callable[..., tuple[object, str, str]],
    workdir: Path,
    mnist: datasets.Splits,
    tmp_path: Path,
) -> None:
    name = write_digit(tmp_path / "x.png", mnist.test.images[0])
    _, out, _ = run_script(predict, name, f"--workdir={workdir}", "--show")
    rows = [line[2:].ljust(28) for line in out.splitlines()[1:15]]
    image = mnist.test.images[0].reshape(14, 2, 28).max(axis=1)
    for row, pixels in zip(rows, image, strict=True):
        assert not row.replace(" ", "") or pixels.any()
    assert any("@" in row or "%" in row for row in rows)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("text.png", "is not a whole PNG, JPEG, BMP or GIF file"),
        ("blank.png", "it is blank"),
        ("huge.png", "90,000 x 90,000 pixels"),
        ("pipe.png", "is a pipe"),
        ("none.png", "There is no picture at "),
        (".", "is a directory"),
    ],
)
def test_what_it_cannot_read_is_one_line(
    fails_in_one_line: Callable[..., str],
    workdir: Path,
    tmp_path: Path,
    name: str,
    message: str,
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    blank = tf.io.encode_png(np.full((9, 9, 1), 250, np.uint8)).numpy()
    (tmp_path / "blank.png").write_bytes(blank)
    size = (90_000).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(blank[:16] + size * 2 + blank[24:])
    os.mkfifo(tmp_path / "pipe.png")
    line = fails_in_one_line(
        predict, tmp_path / name, f"--workdir={workdir}", code=1
    )
    assert message in line


def test_no_picture_and_no_model_are_one_line(
    fails_in_one_line: Callable[..., str],
    mnist: datasets.Splits,
    tmp_path: Path,
) -> None:
    line = fails_in_one_line(predict, f"--workdir={tmp_path}", code=2)
    assert "Name the pictures" in line
    name = write_digit(tmp_path / "x.png", mnist.test.images[0])
    line = fails_in_one_line(predict, name, f"--workdir={tmp_path}", code=1)
    assert f"no saved model at {tmp_path / 'model.keras'}" in line
