"""Pictures of misclassified images, confusions and filters."""

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

UINT8 = npt.NDArray[np.uint8]
FLOAT = npt.NDArray[np.floating]
# Enlargement of an image; heights in pixels of a caption, of a matrix cell and
# of a letter.
SCALE = 4
CAPTION = 16
# TensorBoard shows a picture without scaling it up to 350 pixels.
CELL = 31
FONT_SIZE = 12


def draw_misclassified(
    images: UINT8, labels: UINT8, predicted: npt.NDArray[np.intp], count: int
) -> UINT8:
    """Returns the first misclassified images, each with a caption.

    Args:
        images: uint8 (n, height, width).
        labels: True classes, (n,).
        predicted: Predicted classes, (n,).
        count: Largest number of images.

    Returns:
        uint8 (k, height, width, 1), with `true 4, got 9` under each image.
        k is 0 if all predictions are correct.
    """
    wrong = np.flatnonzero(labels != predicted)[:count]
    captions = [f"true {labels[n]}, got {predicted[n]}" for n in wrong]
    pictures = [
        add_caption(images[n], caption)
        for n, caption in zip(wrong, captions, strict=True)
    ]
    return np.array(pictures, np.uint8).reshape(
        len(pictures),
        images.shape[1] * SCALE + CAPTION,
        images.shape[2] * SCALE,
        1,
    )


def add_caption(image: UINT8, caption: str) -> UINT8:
    """Returns an image, enlarged, with a line of text under it."""
    height, width = image.shape
    picture = Image.new("L", (width * SCALE, height * SCALE + CAPTION), 255)
    large = np.kron(image, np.ones((SCALE, SCALE), np.uint8))
    picture.paste(Image.fromarray(large), (0, 0))
    draw_text(picture, caption, (width * SCALE // 2, height * SCALE + 8), 0)
    return np.asarray(picture)


def count_confusions(
    labels: UINT8, predicted: npt.NDArray[np.intp], num_classes: int
) -> npt.NDArray[np.int64]:
    """Returns how often every class (row) was predicted as each (column)."""
    pairs = labels.astype(np.intp) * num_classes + predicted
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def draw_confusions(counts: npt.NDArray[np.int64]) -> UINT8:
    """Returns a picture of a confusion matrix, uint8 (1, size, size, 1).

    Rows are true classes, columns predicted ones. The larger the share of a
    cell in its row, the darker it is.
    """
    size = len(counts) + 1
    picture = Image.new("L", (size * CELL, size * CELL), 255)
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # True classes are on the left, predicted ones at the top.
    draw_text(picture, "got", (CELL // 2, CELL // 4), 0)
    draw_text(picture, "true", (CELL // 2, 3 * CELL // 4), 0)
    for row in range(size - 1):
        middle = (row + 1) * CELL + CELL // 2
        draw_text(picture, str(row), (CELL // 2, middle), 0)
        draw_text(picture, str(row), (middle, CELL // 2), 0)
        for column in range(size - 1):
            draw_cell(
                picture,
                (column + 1, row + 1),
                int(counts[row, column]),
                float(parts[row, column]),
            )
    return np.asarray(picture)[None, :, :, None]


def draw_cell(
    picture: Image.Image, at: tuple[int, int], count: int, part: float
) -> None:
    """Draws one cell of the matrix, at a column and a row."""
    left, top = at[0] * CELL, at[1] * CELL
    # The square root keeps few mistakes visible next to many correct ones.
    shade = 255 - round(255 * part**0.5)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=shade)
    if count:
        middle = (left + CELL // 2, top + CELL // 2)
        draw_text(picture, str(count), middle, 255 if shade < 128 else 0)


def draw_text(
    picture: Image.Image, text: str, middle: tuple[int, int], shade: int
) -> None:
    """Draws a line of text centered on a point."""
    font = ImageFont.load_default(FONT_SIZE)
    draw = ImageDraw.Draw(picture)
    draw.text(middle, text, fill=shade, font=font, anchor="mm")


def draw_filters(kernel: FLOAT) -> UINT8:
    """Returns the filters of a convolution in one picture.

    Args:
        kernel: (height, width, inputs, outputs).

    Returns:
        uint8 (1, rows, columns, 1): every filter scaled to the whole range and
        enlarged, with a line between them; with several inputs, the mean over
        them.
    """
    filters = np.moveaxis(kernel.mean(axis=2), -1, 0)
    low = filters.min(axis=(1, 2), keepdims=True)
    high = filters.max(axis=(1, 2), keepdims=True)
    scaled = (filters - low) / np.maximum(high - low, 1e-12)
    large = np.kron(scaled, np.ones((1, 2 * SCALE, 2 * SCALE)))
    shades = np.round(255 * large).astype(np.uint8)
    framed = np.pad(shades, ((0, 0), (1, 1), (1, 1)), constant_values=255)
    return join_images(framed)[None, :, :, None]


def join_images(images: UINT8) -> UINT8:
    """Returns all images in one square picture, row by row."""
    count, height, width = images.shape
    side = int(np.ceil(count**0.5))
    padded = np.zeros((side * side, height, width), np.uint8)
    padded[:count] = images
    grid = padded.reshape(side, side, height, width).swapaxes(1, 2)
    return grid.reshape(side * height, side * width)
