"""Makes an image of MNIST's form from any picture of a digit."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_port._support import local_path
from keras_port._support import read_file

SIDE = 28
# The longest side of the digit inside the image.
BOX = 20
MAX_BYTES = 50_000_000
# 4 bytes for each of them, and as many again while they are decoded.
MAX_PIXELS = 50_000_000
# Of 256 levels. Less than this between paper and ink is an empty picture.
LEAST_CONTRAST = 24
# Parts of the contrast. What is weaker is paper, which is never quite even.
PAPER = 0.2


def center_digit(ink: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """Brings a digit to the size and place that the digits of MNIST have.

    Cuts the digit out, scales it so that its longest side has 20 pixels, and
    shifts it by whole pixels so that its center of mass is in the middle of
    28 x 28 pixels. The brightest pixel becomes 255. An image of MNIST stays
    as it is, except for few that were not made this way.

    Args:
        ink: Array of shape (height, width), integers or floats: 0 where
            nothing is written, and more where there is more ink.

    Returns:
        uint8 array of shape (28, 28), as in `ImageSplit.images`.

    Raises:
        ValueError: If `ink` is empty or 0 everywhere, has another number of
            axes, or values that are negative or not finite.

    Example:

    >>> ink = np.zeros((100, 200))
    >>> ink[10:50, 150:160] = 1  # A "1" near the corner.
    >>> image = keras_port.datasets.center_digit(ink)
    >>> rows, columns = np.nonzero(image)
    >>> int(rows.min()), int(rows.max()), int(columns.min())
    (4, 23, 12)
    """
    values = np.asarray(ink, np.float64)
    if values.ndim != 2:
        raise ValueError(
            "`ink` must have the shape (height, width). Received: shape "
            f"{values.shape}"
        )
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("`ink` must be finite and not negative.")
    if not values.any():
        raise ValueError(
            "`ink` is 0 everywhere, so there is no digit. Received: shape "
            f"{values.shape}"
        )
    digit = resize(crop(values))
    image = np.zeros((SIDE, SIDE))
    top, left = find_corner(digit)
    height, width = digit.shape
    image[top : top + height, left : left + width] = digit
    levels = np.floor(image * 255 / image.max() + 0.5)
    return np.asarray(levels, np.uint8)


def crop(ink: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the smallest part that has all the ink."""
    rows = np.flatnonzero(ink.any(axis=1))
    columns = np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def resize(digit: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the digit with a longest side of 20 pixels."""
    longest = max(digit.shape)
    if longest == BOX:
        return digit
    rows, columns = (
        area_weights(max(1, int(size * BOX / longest + 0.5)), size)
        for size in digit.shape
    )
    resized: npt.NDArray[np.float64] = rows @ digit @ columns.T
    return resized


def area_weights(new: int, old: int) -> npt.NDArray[np.float64]:
    """Returns the part of every new pixel that each old pixel covers.

    The mean over an area is right for any factor. Interpolation between
    neighbours would lose thin lines of a large picture.
    """
    edges = np.arange(new + 1)[:, None] * (old / new)
    cells = np.arange(old)
    low = np.maximum(edges[:-1], cells)
    high = np.minimum(edges[1:], cells + 1)
    weights: npt.NDArray[np.float64] = np.maximum(high - low, 0) * (new / old)
    return weights


def find_corner(digit: npt.NDArray[np.float64]) -> list[int]:
    """Returns the row and column of the digit's corner in the image."""
    corner = []
    for axis, size in enumerate(digit.shape):
        mass = digit.sum(axis=1 - axis)
        center = (mass * (np.arange(size) + 0.5)).sum() / mass.sum()
        # In all images of MNIST the center is from 14 to 15, never below.
        first = int(np.ceil(SIDE / 2 - center))
        # A heavy end could push the thin one over the edge.
        corner.append(min(max(first, 0), SIDE - size))
    return corner


def read_digit(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Reads a picture of one digit as an image of MNIST's form.

    The digit may be dark on light or light on dark, in color, and of any size.
    The color of the picture's border is the paper; what differs from it is
    ink. Crop a photo to the digit first: a shadow or a second digit is ink,
    too. The rotation that a camera notes in the file is not read.

    Args:
        path: A PNG, JPEG, BMP or GIF file. `~` is your home directory.

    Returns:
        uint8 array of shape (28, 28), as `center_digit` returns it.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        OSError: If the file cannot be read.
        ValueError: If it is not a picture, a pipe or a device, blank, or has
            more than 50 MB or 50 million pixels.

    Example:

    >>> ink = np.zeros((50, 50, 1), np.uint8)
    >>> ink[10:40, 24:27] = 255
    >>> tf.io.write_file("one.png", tf.io.encode_png(ink))
    >>> image = keras_port.datasets.read_digit("one.png")
    >>> int(image.argmax() // 28), int(image.max())
    (4, 255)
    """
    try:
        content = read_file(local_path("path", path), max_bytes=MAX_BYTES)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no picture at {path}.") from None
    try:
        return center_digit(find_ink(decode_gray(content)))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a digit: {error}") from None


def decode_gray(content: bytes) -> npt.NDArray[np.float32]:
    """Returns the brightness of a picture, 0 to 255, on white paper."""
    try:
        height, width = picture_size(content)
        if height * width <= MAX_PIXELS:
            # Animations have one more axis; only the first picture counts.
            pixels = tf.io.decode_image(
                content, expand_animations=False
            ).numpy()
            return flatten_colors(pixels)
    except (IndexError, tf.errors.OpError) as error:
        raise ValueError(
            "it is not a whole PNG, JPEG, BMP or GIF file."
        ) from error
    raise ValueError(
        f"it has {width:,} x {height:,} pixels, more than {MAX_PIXELS:,}. "
        "Make it smaller."
    )


def picture_size(content: bytes) -> tuple[int, int]:
    """Returns height and width before anything is decoded.

    A few bytes of a PNG can claim to be gigabytes of pixels.

    Raises:
        IndexError: If it is no picture, or ends before the size.
    """

    def number(start: int, size: int, order: Any) -> int:
        if start + size > len(content):
            raise IndexError(start)
        return int.from_bytes(content[start : start + size], order)

    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return number(20, 4, "big"), number(16, 4, "big")
    if content.startswith((b"GIF87a", b"GIF89a")):
        return number(8, 2, "little"), number(6, 2, "little")
    if content.startswith(b"BM"):
        # The height is negative if the first row is the upper one.
        height = number(22, 4, "little")
        return min(height, 2**32 - height), number(18, 4, "little")
    if content.startswith(b"\xff\xd8\xff"):
        height, width, _ = tf.image.extract_jpeg_shape(content).numpy()
        return int(height), int(width)
    raise IndexError(0)


def flatten_colors(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Returns gray pixels from gray ones or colors, with alpha or without."""
    channels = pixels.shape[-1]
    colors = 3 if channels > 2 else 1
    # The mean of the colors, so that blue and red ink count alike.
    gray: npt.NDArray[np.float32] = pixels[..., :colors].mean(
        axis=-1, dtype=np.float32
    )
    if channels == colors:
        return gray
    alpha = pixels[..., -1].astype(np.float32) / 255
    # Some programs write an alpha that is 0 everywhere and mean no alpha.
    return np.asarray(gray * alpha + 255 * (1 - alpha)) if alpha.any() else gray


def find_ink(gray: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns how much each pixel differs from the paper, 0 to 1.

    Raises:
        ValueError: If nothing differs.
    """
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    paper = np.median(border)
    darker, lighter = paper - gray.min(), gray.max() - paper
    contrast = max(darker, lighter)
    if contrast < LEAST_CONTRAST:
        raise ValueError(
            "it is blank: no pixel differs from the color of its border by "
            f"{LEAST_CONTRAST} or more of 255."
        )
    ink = (paper - gray if darker > lighter else gray - paper) / contrast
    return np.where(ink < PAPER, 0, ink)
