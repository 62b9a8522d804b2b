"""Pictures of digits become images as MNIST has them."""

import os
from pathlib import Path
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from keras_port import datasets
from keras_port.datasets import center_digit
from keras_port.datasets import read_digit


@pytest.fixture(scope="module")
def digits(mnist: datasets.Splits) -> np.ndarray:
    """Returns 1,000 test images of 28 x 28 pixels."""
    return mnist.test.images[:1000].reshape(-1, 28, 28)


def enlarge(image: np.ndarray, factor: int = 10) -> np.ndarray:
    """Returns a smooth larger copy of an image, off the middle."""
    size = [28 * factor] * 2
    large = tf.image.resize(image[..., None], size, "bicubic")[..., 0]
    pixels = np.clip(np.asarray(large), 0, 255).round().astype(np.uint8)
    return np.pad(pixels, ((5, 90), (40, 0)))


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Writes an array of shape (height, width, channels)."""
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    return path


def test_an_image_of_mnist_stays_as_it_is(digits: np.ndarray) -> None:
    centered = np.stack([center_digit(image) for image in digits])
    off = np.abs(centered.astype(int) - digits).max(axis=(1, 2))
    brightest = digits.max(axis=(1, 2))
    assert not off[brightest == 255].any()
    # A tenth of the images has 254 as the brightest pixel, which becomes 255.
    assert brightest.min() == 254
    assert off.max() == 1


def test_an_image_is_found_again_in_a_larger_one(digits: np.ndarray) -> None:
    for image in digits[:100]:
        squares = np.kron(image, np.ones((9, 9), np.uint8))
        centered = center_digit(np.pad(squares, ((5, 90), (40, 0))))
        assert np.abs(centered.astype(int) - image).max() <= 1


def test_position_and_size_do_not_matter() -> None:
    ink = np.zeros((40, 30))
    ink[3:33, 5:9] = 1
    ink[29:33, 5:20] = 2
    expected = center_digit(ink)
    moved = np.pad(ink, ((70, 10), (0, 90)))
    np.testing.assert_array_equal(center_digit(moved), expected)
    tripled = center_digit(np.kron(moved, np.ones((3, 3))))
    # Sums in another order: 127.5 is rounded to either side.
    np.testing.assert_allclose(tripled.astype(int), expected, atol=1)
    np.testing.assert_array_equal(center_digit(ink * 1e6), expected)
    assert expected.dtype == np.uint8
    assert expected.max() == 255


def test_the_longest_side_has_20_pixels() -> None:
    for shape in ((1, 1), (3, 1), (1, 700), (19, 20), (21, 20), (400, 88)):
        rows, columns = np.nonzero(center_digit(np.ones(shape)))
        sides = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert max(sides) == 20, shape
        assert min(sides) == max(1, round(20 * min(shape) / max(shape)))


def test_a_heavy_end_does_not_push_the_digit_over_the_edge() -> None:
    ink = np.full((200, 20), 0.01)
    ink[-10:] = 1
    for digit, first in ((ink, 0), (ink[::-1], 8)):
        rows = np.flatnonzero(center_digit(digit).any(axis=1))
        np.testing.assert_array_equal(rows, np.arange(first, first + 20))


@pytest.mark.parametrize(
    ("ink", "message"),
    [
        (np.zeros((5, 5)), "0 everywhere"),
        (np.zeros((0, 5)), "0 everywhere"),
        (np.ones(784), r"shape \(784,\)"),
        (np.ones((1, 28, 28)), r"shape \(1, 28, 28\)"),
        (np.full((5, 5), np.nan), "finite"),
        (np.full((5, 5), -1), "negative"),
    ],
)
def test_what_is_no_ink_is_refused(ink: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        center_digit(ink)


def test_the_colors_do_not_matter(digits: np.ndarray, tmp_path: Path) -> None:
    ink = enlarge(digits[0])[..., None]
    part = ink / 255
    pictures = {
        "white_on_black": ink,
        "black_on_white": 255 - ink,
        "blue_on_yellow": np.concatenate(
            [255 - ink, 255 - ink, np.full_like(ink, 100)], axis=-1
        ),
        # As drawing programs save it: black, on nothing.
        "black_on_transparent": np.concatenate([ink * 0, ink], axis=-1),
        "color_on_transparent": np.concatenate([ink * 0] * 3 + [ink], axis=-1),
        "alpha_of_0": np.concatenate([255 - ink] * 3 + [ink * 0], axis=-1),
        "gray_on_gray": (90 + 60 * part).round().astype(np.uint8),
    }
    expected = read_digit(write_png(tmp_path / "x.png", ink))
    for name, pixels in pictures.items():
        image = read_digit(write_png(tmp_path / f"{name}.png", pixels))
        off = np.abs(image.astype(int) - expected)
        # The gray one has a level for 4 of the others, so that a pixel of the
        # edge can be paper in one of them and ink in the other.
        assert off.max() <= (30 if name == "gray_on_gray" else 1), name
        assert off.mean() < 1


def test_uneven_paper_is_no_ink(digits: np.ndarray, tmp_path: Path) -> None:
    ink = enlarge(digits[0]).astype(float)
    noise = np.random.default_rng(1).normal(0, 6, ink.shape)
    shade = np.linspace(0, 20, ink.shape[1])
    photo = np.clip(220 - 0.8 * ink + noise - shade, 0, 255).astype(np.uint8)
    image = read_digit(write_png(tmp_path / "photo.png", photo[..., None]))
    expected = center_digit(enlarge(digits[0]))
    assert np.abs(image.astype(int) - expected).mean() < 10


def write_bmp(path: Path, pixels: np.ndarray) -> Path:
    """Writes a BMP of 24 bits, whose rows start at the bottom."""
    height, width = pixels.shape
    rows = np.zeros((height, (width * 3 + 3) // 4 * 4), np.uint8)
    rows[:, : width * 3] = np.repeat(pixels[::-1], 3, axis=1)
    head = struct.pack("<2sIHHI", b"BM", 54 + rows.size, 0, 0, 54)
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)
    path.write_bytes(head + size + rows.tobytes())
    return path


def test_png_jpeg_and_bmp_are_read(digits: np.ndarray, tmp_path: Path) -> None:
    pixels = enlarge(digits[1])
    expected = read_digit(write_png(tmp_path / "x.png", pixels[..., None]))
    assert expected.shape == (28, 28)
    bmp = read_digit(write_bmp(tmp_path / "x.bmp", pixels))
    np.testing.assert_array_equal(bmp, expected)
    jpeg = tmp_path / "x.jpg"
    jpeg.write_bytes(tf.io.encode_jpeg(pixels[..., None], quality=95).numpy())
    off = np.abs(read_digit(jpeg).astype(int) - expected)
    assert off.mean() < 2


def test_the_first_image_of_a_gif_is_read(tmp_path: Path) -> None:
    # 8 x 8 pixels, white with a black bar of 4 x 2 that lies down in the
    # second image. Written by Pillow 13.0.
    path = tmp_path / "x.gif"
    path.write_bytes(
        bytes.fromhex(
            "47494638376108000800810000ffffff0000000000000000002c00000000080008"
            "000008160001081c48b020c100010c225498b0e04283100b06040021f904010000"
            "02002c020002000400040081ffffff000000000000000000080f00050000202080"
            "8082060b0a241810003b"
        )
    )
    bar = np.zeros((8, 8))
    bar[2:6, 3:5] = 1
    np.testing.assert_array_equal(read_digit(path), center_digit(bar))


def png_header(width: int, height: int) -> bytes:
    """Returns the start of a PNG that claims a size."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole PNG"),
        (b"no picture at all", "not a whole PNG"),
        (b"\x89PNG\r\n\x1a\n", "not a whole PNG"),
        (b"BM", "not a whole PNG"),
        (b"GIF89a\x05", "not a whole PNG"),
        (b"\xff\xd8\xff\xe0", "not a whole PNG"),
        (png_header(28, 28), "not a whole PNG"),
        (png_header(0, 0), "not a whole PNG"),
        (png_header(100_000, 100_000), "100,000 x 100,000 pixels"),
        (tf.io.encode_png(np.full((9, 9, 3), 7, "u1")).numpy(), "is blank"),
        (tf.io.encode_png(np.full((1, 1, 1), 7, "u1")).numpy(), "is blank"),
    ],
)
def test_what_is_no_picture_of_a_digit_is_refused(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_digit(path)
    assert "digit.png cannot be read as a digit: it" in str(raised.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no picture at"):
        read_digit(tmp_path / "none.png")
    with pytest.raises(ValueError, match="a directory"):
        read_digit(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="a pipe"):
        read_digit(tmp_path / "pipe")
    with pytest.raises(ValueError, match="gs://"):
        read_digit("gs://bucket/digit.png")
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(50_000_001)  # A hole: no bytes on the disk.
    with pytest.raises(ValueError, match="50,000,001 bytes"):
        read_digit(large)
