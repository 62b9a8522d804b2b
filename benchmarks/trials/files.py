"""Files with mutated bytes, of every format that is read.

A file loads, or raises a `ValueError` or an `OSError` that names it. Whatever
else happens is a fault: another error, a process that ends by a signal, one
that does not end, or one that takes a lot of memory.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import time
from typing import Any
import zipfile

from benchmarks.trials import samples
from benchmarks.trials.trial import Bench
from benchmarks.trials.trial import Trial
from keras_port import callbacks
from keras_port import checkpoints
from keras_port import datasets
from keras_port import tf1
from keras_port.callbacks.tensorboard import event_files
from keras_port.checkpoints import read_snapshot
from keras_port.checkpoints import write_snapshot

# Seconds until a file counts as one that is read for ever.
LIMIT = 30
# Bytes that reading a small file may add to a process.
MOST_MEMORY = 1 << 30
CHUNK = 500


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of files.

    Args:
        read: Reads the file at a path, or raises an error.
        mutate: Writes a mutated file over a sound one. Defaults to one that
            mutates the bytes.
        name: What an error must name. Defaults to the name of the file.
    """

    read: Callable[[pathlib.Path], object]
    mutate: Callable[[pathlib.Path, random.Random], None] = dataclasses.field(
        default_factory=lambda: mutate_file
    )
    name: Callable[[pathlib.Path], str] = lambda path: path.name


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Mutations that one process tries.

    Args:
        format: Name of the format.
        samples: Folder of `samples.write_all`.
        folder: An empty folder for the mutated files.
        seeds: First seed, and the one after the last.
        log: File that gets a line of JSON for every mutation.
    """

    format: str
    samples: str
    folder: str
    seeds: tuple[int, int]
    log: str


def run_trials(
    bench: Bench, name: str, seed: int, count: int
) -> Iterator[Trial]:
    """Yields a trial for every mutation that is a fault, and one for the rest.

    Args:
        bench: Starts the processes.
        name: Name of the format.
        seed: Seed of the first mutation.
        count: Number of mutations.
    """
    sound = bench.folder / "samples"
    if not sound.exists():
        sound.mkdir()
        with bench.starter.process(samples.write_all, str(sound)) as process:
            process.join()
        if process.exitcode != 0:
            raise RuntimeError("The sound files could not be written.")
    rest = Trial("files", name, seed, count=0)
    loaded = 0
    at, end = seed, seed + count
    while at < end:
        until = min(at + CHUNK, end)
        entries, code = run_chunk(bench, name, sound, (at, until))
        faults = {e["seed"]: e["fault"] for e in entries if e["fault"]}
        done = at + len(entries)
        if code != 0:
            ended = "it is read for ever" if code == -signal.SIGALRM else ""
            faults[done] = ended or f"the process ends with exit code {code}"
            done += 1
        loaded += sum(e["loaded"] and not e["fault"] for e in entries)
        seconds = max((e["seconds"] for e in entries), default=0.0)
        rest.count += done - at - len(faults)
        rest.seconds = max(rest.seconds, seconds)
        for number, fault in faults.items():
            yield Trial("files", name, number, ["mutated"], [fault], seconds)
        at = done
    rest.events.append(f"{loaded} loaded, {rest.count - loaded} refused")
    yield rest


def run_chunk(
    bench: Bench, name: str, sound: pathlib.Path, seeds: tuple[int, int]
) -> tuple[list[dict[str, Any]], int]:
    """Tries mutations in one process.

    Returns:
        What the process has logged of every mutation up to its end, and its
        exit code.
    """
    folder = bench.folder / f"files-{name}"
    log = bench.folder / f"files-{name}.log"
    folder.mkdir()
    log.write_text("")
    chunk = Chunk(name, str(sound), str(folder), seeds, str(log))
    with bench.starter.process(try_chunk, chunk) as process:
        process.join()
    shutil.rmtree(folder)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    return entries, process.exitcode


def try_chunk(chunk: Chunk) -> None:
    """Reads mutated files; logs what happens with each."""
    silence()
    form = FORMATS[chunk.format]
    sound = pathlib.Path(chunk.samples) / chunk.format
    with open(chunk.log, "a", buffering=1) as log:
        for seed in range(*chunk.seeds):
            folder = pathlib.Path(chunk.folder) / str(seed)
            shutil.copytree(sound, folder)
            generator = random.Random(f"files {chunk.format} {seed}")
            started = time.monotonic()
            signal.alarm(LIMIT)  # Ends the process, also inside of TensorFlow.
            loaded, fault = try_one(form, find_target(folder), generator)
            signal.alarm(0)
            seconds = round(time.monotonic() - started, 2)
            entry = {
                "seed": seed,
                "loaded": loaded,
                "fault": fault,
                "seconds": seconds,
            }
            log.write(json.dumps(entry) + "\n")
            shutil.rmtree(folder, ignore_errors=True)


def silence() -> None:
    """Discards what the process prints."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def find_target(folder: pathlib.Path) -> pathlib.Path:
    """Returns the file to mutate, which is named by `target`."""
    return folder / (folder / "target").read_text()


def try_one(
    form: Format, path: pathlib.Path, generator: random.Random
) -> tuple[bool, str | None]:
    """Returns whether a mutated file loads, and what is wrong with that."""
    before = peak_memory()
    loaded = False
    try:
        form.mutate(path, generator)
        form.read(path)
        loaded = True
    except (ValueError, OSError) as error:
        if form.name(path) not in str(error):
            kind = type(error).__name__
            return False, f"the file is not named: {kind}: {error}"
    except BaseException as error:  # noqa: BLE001 (anything else is a fault)
        kind = type(error).__name__
        return False, f"{kind}: {error}{place(error)}"[:400]
    if peak_memory() - before > MOST_MEMORY:
        return loaded, f"it takes {(peak_memory() - before) >> 20:,} MiB"
    return loaded, None


def place(error: BaseException) -> str:
    """Returns the last line of the package in the traceback."""
    where = ""
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "keras_port/" in file:
            where = f" ({file.rpartition('keras_port/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return where


def peak_memory() -> int:
    """Returns the largest size that the process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# How files are mutated.


def mutate_bytes(content: bytes, generator: random.Random) -> bytes:
    """Returns a content with one kind of damage, one to three times."""
    data = bytearray(content)
    for _ in range(generator.choice([1, 1, 2, 3])):
        at = generator.randrange(len(data) + 1)
        if generator.random() < 0.3:
            at = min(at, generator.randrange(64))  # Headers are at the start.
        count = generator.randint(1, 8)
        match generator.randrange(8):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = generator.randbytes(count)
            case 2:
                del data[at : at + count]
            case 3:
                data[at : at + count] = generator.randbytes(count)
            case 4:
                value = generator.choice([0, 1, 127, 128, 255])
                data[at : at + count] = bytes([value] * count)
            case 5:
                data[at:at] = data[at : at + 8 * count]
            case 6 if data:
                data[at - 1] ^= 1 << generator.randrange(8)
            case _:
                other = generator.randrange(len(data) + 1)
                piece = data[other : other + 4 * count]
                data[at : at + len(piece)] = piece
    return bytes(data)


def mutate_file(path: pathlib.Path, generator: random.Random) -> None:
    """Mutates the bytes of a file."""
    path.write_bytes(mutate_bytes(path.read_bytes(), generator))


def mutate_text(path: pathlib.Path, generator: random.Random) -> None:
    """Mutates a text file: its bytes, or what stands between quotes."""
    if generator.random() < 0.5:
        mutate_file(path, generator)
        return
    names = ["", ".", "..", "/", "checkpoint", str(path), str(path.parent)]
    names += ["x" * 5000, "\\000", "model.ckpt-1", "a/b", "gs://a/b", "\\n"]
    text = re.sub(
        '"[^"]*"', lambda _: f'"{generator.choice(names)}"', path.read_text()
    )
    path.write_text(text)


def mutate_record(path: pathlib.Path, generator: random.Random) -> None:
    """Mutates the record in a saved model, or the file itself."""
    if generator.random() < 0.2:
        mutate_file(path, generator)
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    record = members["keras_port.json"]
    if generator.random() < 0.4:
        members["keras_port.json"] = mutate_bytes(record, generator)
    else:
        content = samples.change(json.loads(record), generator)
        members["keras_port.json"] = json.dumps(content, default=str).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)


def mutate_content(path: pathlib.Path, generator: random.Random) -> None:
    """Writes a whole snapshot with another value at some place."""
    content = read_snapshot(path)
    for _ in range(generator.choice([1, 1, 1, 2])):
        content = samples.change(content, generator)
    write_snapshot(path, content)


# How files are read.


def read_idx(path: pathlib.Path) -> object:
    """Reads an IDX file."""
    return datasets.read_idx(path)


def read_state(path: pathlib.Path) -> object:
    """Finds the newest snapshot, as the start of a training does."""
    return callbacks.TrainingState(path.parent).step


def resume(path: pathlib.Path) -> object:
    """Resumes a training, if the snapshot is accepted."""
    if read_state(path) != samples.STEPS:
        return None
    return samples.fit(path.parent.parent)


def list_variables(path: pathlib.Path) -> object:
    """Lists a checkpoint, and loads it into a model."""
    found = tf1.list_variables(path)
    return found, tf1.load_checkpoint(samples.build_model(), path, strict=False)


def list_newest(path: pathlib.Path) -> object:
    """Lists the checkpoint that a text file names."""
    return tf1.list_variables(path.parent)


def list_graph(path: pathlib.Path) -> object:
    """Lists a graph."""
    return str(tf1.list_graph(path))


def keep_steps(path: pathlib.Path) -> None:
    """Removes the later steps from event files, as a resume does."""
    event_files.keep_steps(path.parent, samples.STEPS // 2)


def read_record(path: pathlib.Path) -> object:
    """Reads the record in a saved model."""
    return checkpoints.read_record(path)


def name_prefix(path: pathlib.Path) -> str:
    """Returns the name that the files of a checkpoint share."""
    return path.stem


FORMATS = {
    "idx": Format(read_idx),
    "idx_gz": Format(read_idx),
    "snapshot": Format(read_state),
    "snapshot_content": Format(
        resume, mutate_content, lambda path: str(path.parent)
    ),
    "checkpoint_text": Format(
        list_newest, mutate_text, lambda path: str(path.parent)
    ),
    "checkpoint_index": Format(list_variables, name=name_prefix),
    "meta": Format(list_graph),
    "events": Format(keep_steps),
    "record": Format(read_record, mutate_record),
}
