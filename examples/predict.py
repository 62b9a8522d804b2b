"""Reads pictures of digits with a trained network.

    python examples/predict.py digit.png more.jpg --workdir=runs/cnn

A picture holds one digit, dark on light or light on dark, of any size.
"""

from collections.abc import Sequence
import pathlib

from absl import flags
import cli

with cli.quiet_imports():
    import keras
    import numpy as np

    from keras_port import datasets

# Characters of a bar for a probability of 1.
BAR = 40
# From no ink to most of it.
SHADES = " .:-=+*#%@"


def predict(
    model: keras.Model, images: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Returns the probabilities of every class for each image.

    Args:
        model: A model of images with 784 pixels.
        images: uint8 images of shape (28, 28).
    """
    batch = np.stack(images).reshape((-1, *model.input_shape[1:]))
    return list(model.predict(batch, verbose=0))


def describe(probabilities: np.ndarray) -> str:
    """Returns one line with a bar for each class."""
    return "\n".join(
        f"  {digit}  {part:6.1%}  {'#' * round(float(part) * BAR)}".rstrip()
        for digit, part in enumerate(probabilities)
    )


def sketch(image: np.ndarray) -> str:
    """Returns an image as text, two rows of pixels in one line."""
    rows = image.reshape(14, 2, 28).mean(axis=1)
    levels = (rows * (len(SHADES) - 1) / 255).round().astype(int)
    return "\n".join(
        ("  " + "".join(SHADES[level] for level in row)).rstrip()
        for row in levels
    )


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_model_flag()
    flags.DEFINE_bool("show", False, "Whether to print what the network sees.")


def main(names: list[str]) -> None:
    """Runs the script with the values of the flags.

    Args:
        names: The pictures.
    """
    if not names:
        cli.fail("Name the pictures to read, such as digit.png.", code=2)
    images = [datasets.read_digit(name) for name in names]
    model = cli.load_best(pathlib.Path(flags.FLAGS.workdir))
    for name, image, probabilities in zip(
        names, images, predict(model, images), strict=True
    ):
        best = int(probabilities.argmax())
        print(f"{name}: {best}, with {probabilities[best]:.1%}")
        if flags.FLAGS.show:
            print(sketch(image))
        print(describe(probabilities))


if __name__ == "__main__":
    define_flags()
    cli.run(main)
