"""Checkpoints that a stranger made: one clear error, and no end of Python.

The numbers S5 to S13 and R8 are those of the review that found the holes.
`KERAS_PORT_FUZZ_FILES` sets how many damaged files are tried.
"""

import os
from pathlib import Path
import random

import numpy as np
import pytest
import tensorflow as tf

from keras_port.tf1 import CheckpointVariable
from keras_port.tf1 import _files
from keras_port.tf1 import _index_file
from keras_port.tf1 import list_variables
from keras_port.tf1 import load_checkpoint
from keras_port.tf1 import save_checkpoint
from keras_port.tf1.__main__ import main
from keras_port.tf1.checkpoint.variables import natural_key
from tests.tf1 import tables
from tests.tf1.graph import hostile
from tests.tf1.sessions import counted
from tests.tf1.sessions import small_model

v1 = tf.compat.v1
FUZZ_FILES = int(os.environ.get("KERAS_PORT_FUZZ_FILES", "60"))


def refusal(prefix: Path) -> str:
    """Returns the message with which a checkpoint is refused."""
    with pytest.raises(ValueError, match=prefix.name) as caught:
        list_variables(prefix)
    return str(caught.value)


@pytest.fixture
def partitioned(tmp_path: Path) -> Path:
    """Returns a checkpoint with parts of a variable, texts and a number."""
    prefix = tmp_path / "good"
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable(
            "parts",
            initializer=tf.constant(counted(300, 2)),
            partitioner=v1.fixed_size_partitioner(3),
        )
        v1.get_variable("texts", initializer=tf.constant(["a", "b" * 300]))
        v1.get_variable("step", initializer=tf.constant(7, tf.int64))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(
            session, str(prefix), write_meta_graph=False, write_state=False
        )
    return prefix


def test_what_a_saver_writes_passes(partitioned: Path) -> None:
    index = _index_file.read_index(partitioned)
    assert len(index.entries[b"parts"].slices) == 3
    file = _files.open_checkpoint(partitioned)
    assert file.shapes == {"parts": (300, 2), "texts": (2,), "step": ()}
    np.testing.assert_array_equal(file.read("parts"), counted(300, 2))
    assert list(file.read("texts")) == [b"a", b"b" * 300]


@pytest.mark.parametrize(
    "number", [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 1 << 40, (1 << 62) - 1]
)
def test_a_number_in_a_key_keeps_its_order(number: int) -> None:
    assert (
        _index_file.encode_signed(number - 1)
        < _index_file.encode_signed(number)
        < _index_file.encode_signed(number + 1)
    )


# What a field of an entry holds instead of what it should, and the message.
ENTRIES: dict[str, tuple[bytes, str]] = {
    "negative": (tables.entry(shape=[-5]), "negative size"),
    "overflow": (tables.entry(shape=[1 << 40] * 3), "impossible shape"),
    "rank": (tables.entry(shape=[1] * 300), "300 axes"),
    "type": (tables.entry(dtype=999), "unknown type 999"),
    "no type": (tables.entry(dtype=0), "unknown type 0"),
    "reference": (tables.entry(dtype=101), "float32_ref"),
    "handle": (tables.entry(dtype=20), "resource"),
    "unknown": (tables.entry(unknown=True), "unknown one"),
    "garbage": (b"\xff\xff\xff", "damaged"),
    "group": (tables.entry() + b"\x0b\x0c", "damaged"),
    "shard": (tables.entry(shard=3), "number 3"),
    "place": (tables.entry(offset=(1 << 63) - 9), "outside"),
    "size": (tables.entry(size=8), "8 are stored"),
    "part twice": (
        tables.entry(shape=[1], parts=[[(0, 1)], [(0, 1)]]),
        "same part twice",
    ),
    "part outside": (tables.entry(shape=[1], parts=[[(1, 1)]]), "outside"),
    "part of part": (tables.entry(shape=[1], parts=[[]]), "outside"),
    "part missing": (tables.entry(shape=[1], parts=[[(0, 1)]]), "lacks"),
    "shape in parts": (
        # Joined, the two halves would be a shape; alone, they are broken.
        tables.entry() + tables.field(2, b"\x12\x04\x08") + b"\x12\x02\x01\x08",
        "damaged",
    ),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_s5_s13_an_impossible_entry_is_named(name: str, tmp_path: Path) -> None:
    entry, message = ENTRIES[name]
    tables.write(tmp_path / "m", {"W": entry})
    found = refusal(tmp_path / "m")
    assert message in found
    assert "'W'" in found or "damaged" in found
    assert "Copy it again" in found


def test_s5_a_table_that_is_broken_is_refused(tmp_path: Path) -> None:
    good = tables.make({"": tables.header(), "W": tables.entry()})
    cases = {
        "empty": b"",
        "cut": good[: len(good) // 2] + good[-48:],
        "no end": good[:-8] + b"\0" * 8,
        "no shards": tables.make({"": b"", "W": tables.entry()}),
        "long name": tables.make({"": tables.header(), "W" * 5000: b""}),
        "no header": tables.make({"W": tables.entry()}),
        "restarts": tables.make(
            {"": tables.header(), "W": tables.entry()}, restarts=[0, 3]
        ),
        "compressed": tables.make(
            {"": tables.header(), "W": tables.entry()}, compression=9
        ),
    }
    for name, content in cases.items():
        (tmp_path / "m.index").write_bytes(content)
        assert "m is not a complete" in refusal(tmp_path / "m"), name


def test_s5_a_block_that_snappy_compressed_is_read(tmp_path: Path) -> None:
    values = {"": tables.header(), "W": tables.entry(shape=[1])}
    content = tables.make(values, compression=1)
    (tmp_path / "m.index").write_bytes(content)
    (found,) = list_variables(tmp_path / "m")
    assert (found.name, found.shape) == ("W", (1,))


@pytest.mark.parametrize(
    ("packed", "content"),
    [
        (b"\x03\x08abc", b"abc"),
        (b"\x09\x08abc\x09\x03", b"abcabcabc"[:9]),
        (b"\x06\x00a\x12\x01\x00", b"aaaaaa"),
        (b"\x46\xf0\x45" + b"x" * 70, b"x" * 70),
    ],
)
def test_snappy_is_unpacked(packed: bytes, content: bytes) -> None:
    assert _index_file.unpack_snappy(packed) == content


@pytest.mark.parametrize(
    "packed",
    [
        b"\xff\xff\xff\xff\x0f\x00a",  # claims gigabytes
        b"\x05\x00a\x12\x09\x00",  # a copy from before the start
        b"\x05\x08ab",  # cut
        b"\x01\x08abc",  # more than it says
    ],
)
def test_s10_broken_snappy_is_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"damaged|larger"):
        _index_file.unpack_snappy(packed)


def test_s5_values_outside_of_the_file_are_refused(tmp_path: Path) -> None:
    values = {"W": tables.entry(shape=[1 << 30], size=1 << 32)}
    tables.write(tmp_path / "m", values, data=b"1234")
    file = _files.open_checkpoint(tmp_path / "m")
    with pytest.raises(ValueError, match=r"m: the value of 'W'.*which has 4"):
        file.read("W")


def test_s10_texts_that_claim_gigabytes_are_refused(tmp_path: Path) -> None:
    data = b"\xff\xff\xff\xff\xff\x3f" + b"1234" + b"a" * 20
    values = {"W": tables.entry(dtype=7, shape=[1], size=len(data))}
    tables.write(tmp_path / "m", values, data=data)
    file = _files.open_checkpoint(tmp_path / "m")
    with pytest.raises(ValueError, match="its texts claim"):
        file.read("W")


def test_s5_a_reader_is_not_used_again_after_an_error(
    partitioned: Path,
) -> None:
    # TensorFlow ends the process otherwise.
    code = (
        "from keras_port.tf1._files import open_checkpoint\n"
        "    file = open_checkpoint('good')\n"
        "    for name in ('parts', 'parts', 'step'):\n"
        "        try: print(file.read(name))\n"
        "        except ValueError as error: print(error)"
    )
    data = partitioned.with_name("good.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    entry = _index_file.read_index(partitioned).entries[b"parts"]
    place = _index_file.encode_slice(b"parts", entry.slices[1])
    start = _index_file.read_index(partitioned).entries[place].offset
    content[start] ^= 1
    data.write_bytes(content)
    printed = hostile.run_alone(code, partitioned.parent)
    assert printed.count("good: the value of 'parts' cannot be read") == 2
    assert "\n7\n" in printed


def damage(content: bytes, generator: random.Random) -> bytes:
    """Returns the content with one to three kinds of damage."""
    data = bytearray(content)
    for _ in range(generator.randint(1, 3)):
        place = generator.randrange(len(data) + 1)
        match generator.randrange(4):
            case 0 if data:
                data[place % len(data)] ^= 1 << generator.randrange(8)
            case 1 if data:
                data[place % len(data)] = generator.choice([0, 127, 128, 255])
            case 2:
                data[place:place] = b"\xff" * 9 + b"\x01"
            case _:
                del data[place : place + generator.randint(1, 4)]
    return bytes(data)


def test_s5_a_damaged_index_is_read_or_is_a_clear_error(
    partitioned: Path, tmp_path: Path
) -> None:
    generator = random.Random(5)
    content = partitioned.with_name("good.index").read_bytes()
    values = dict(_index_file.read_table(content))
    for number in range(FUZZ_FILES):
        changed = dict(values)
        key = generator.choice(list(values))
        if generator.random() < 0.8:
            changed[key] = damage(values[key], generator)
        else:
            changed[damage(key, generator)] = changed.pop(key)
        path = tmp_path / f"m{number}.index"
        path.write_bytes(tables.make_from_bytes(changed))
    # In a process of its own, which it might end.
    code = (
        "import glob; from keras_port.tf1._files import open_checkpoint\n"
        "    for path in glob.glob('m*.index'):\n"
        "        try:\n"
        "            file = open_checkpoint(path)\n"
        "            for name in file.shapes: file.read(name)\n"
        "            print('read')\n"
        "        except (FileNotFoundError, ValueError) as error:\n"
        "            assert path.removesuffix('.index') in str(error), error\n"
        "            print('error')"
    )
    printed = hostile.run_alone(code, tmp_path, seconds=300)
    assert printed.count("read") + printed.count("error") == FUZZ_FILES


def test_s9_a_pipe_or_device_of_a_checkpoint_is_not_waited_for(
    tmp_path: Path,
) -> None:
    for name in ("pipe.index", "pipe_1"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "zero.index").symlink_to("/dev/zero")
    code = (
        "from keras_port.tf1._files import open_checkpoint\n"
        "    import sys\n"
        "    for name in ('pipe', 'zero', 'pipe_1'):\n"
        "        try: open_checkpoint(name)\n"
        "        except (ValueError, OSError) as error: print(name, error)"
    )
    printed = hostile.run_alone(code, tmp_path)
    for name in ("pipe", "zero", "pipe_1"):
        assert f"{name} There is no TensorFlow 1 checkpoint" in printed
    with pytest.raises(ValueError, match="is a device, not a file"):
        _index_file.read_index(tmp_path / "zero")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_s9_a_meta_next_to_a_checkpoint_is_only_read_if_it_is_a_file(
    kind: str, tmp_path: Path
) -> None:
    model = small_model()
    save_checkpoint(model, tmp_path / "m")
    (tmp_path / "m.meta").unlink()
    if kind == "pipe":
        os.mkfifo(tmp_path / "m.meta")
    else:
        (tmp_path / "m.meta").symlink_to("/dev/zero")
    assert load_checkpoint(model, tmp_path).used


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'model_checkpoint_path: "checkpoint"', "names itself"),
        (b'model_checkpoint_path: "./checkpoint"', "names itself"),
        (b'model_checkpoint_path: "a\\000b"', "not in its folder"),
        (b'model_checkpoint_path: "\xff"', "is not the list"),
        (b"model_checkpoint_path: 1", "is not the list"),
        (b"{" * 100_000, "is not the list"),
        (b'model_checkpoint_path: "\\033[2J"', r"\\x1b\[2J"),
    ],
)
def test_r8_s13_a_list_of_checkpoints_is_read_or_named(
    content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as found:
        list_variables(tmp_path)
    assert str(tmp_path / "checkpoint") in str(found.value)
    assert "\x1b" not in str(found.value)


def test_s9_a_list_of_checkpoints_that_is_a_pipe_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "checkpoint").symlink_to("/dev/zero")
    with pytest.raises((ValueError, FileNotFoundError), match="checkpoint"):
        list_variables(tmp_path)


def test_s12_names_of_a_checkpoint_are_printed_without_their_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "W\x1b]0;title\x07\x1b[2K\rgood () float32\n"
    prefix = tmp_path / "a\x1b[2J"
    tables.write(prefix, {name: tables.entry()})
    assert main(["list", str(prefix)]) == 0
    assert main(["list", str(tmp_path / "missing")]) == 1
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert len(printed.out.splitlines()) == 1
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_checkpoint(small_model(), prefix)
    assert "\x1b" not in str(caught.value)
    slot = CheckpointVariable(f"{name}/s", (), "float32", "slot", "s", name)
    assert "\x1b" not in str(slot)


def test_a_name_with_thousands_of_digits_is_sorted() -> None:
    long = "v_" + "9" * 5000
    assert sorted([long, "v_10", "v_2"], key=natural_key)[-1] == long
    assert sorted(["v_10", "v_2"], key=natural_key) == ["v_2", "v_10"]


def test_a_cut_file_of_version_1_is_a_clear_error(tmp_path: Path) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        variable = v1.get_variable("w", initializer=tf.zeros([3]))
        session.run(variable.initializer)
        v1.train.Saver(write_version=1).save(session, str(tmp_path / "old"))
    content = (tmp_path / "old").read_bytes()
    for cut in (0, 3, 40, 100):
        (tmp_path / "cut").write_bytes(content[: len(content) - cut - 1])
        assert "cut" in refusal(tmp_path / "cut")
