"""Runs TensorFlow's functions for shapes in a process of their own.

The process starts when it is first needed, answers one graph after the other,
and ends when nothing was asked for a minute, or when this process ends. Once it
is ready it can open nothing and write nothing, and takes no more than some
memory and some time. If TensorFlow ends it, that is an error about the graph.
"""

import atexit
from collections.abc import Sequence
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from typing import IO
from typing import Any

from keras_port._support import show_name
from keras_port.tf1._files import first_line
from keras_port.tf1.graph.read import GRAPH_ERRORS
from keras_port.tf1.graph.read import protos
from keras_port.tf1.graph.select.gate import import_operations

# What is started. It imports from where this process does, and not from the
# current directory.
COMMAND = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from keras_port.tf1.graph.select.shape_process import serve; serve()"
)
START_SECONDS = 120
ANSWER_SECONDS = 60
# Memory that a graph may take, beyond that of TensorFlow itself.
GRAPH_BYTES = 1 << 31
IDLE_SECONDS = 60
LENGTH = struct.Struct("<Q")
# The number of the type follows the shape, `None` if the rank is unknown.
FoundShape = tuple[list[int | None] | None, int]


def ask_for_shapes(
    graph: protos.GraphDef, keys: Sequence[str]
) -> list[FoundShape]:
    """Returns the shape and type of some tensors of a graph.

    Args:
        graph: The graph, which holds only what is let in.
        keys: The keys of the tensors.

    Raises:
        ValueError: If TensorFlow does not accept the graph, or ends on it.
    """
    answer = _PROCESS.ask(
        [json.dumps(keys).encode(), graph.SerializeToString()]
    )
    if "error" in answer:
        raise ValueError(
            "TensorFlow does not accept the graph: "
            f"{show_name(answer['error'], max_length=1000)}."
        )
    return [(shape, int(kind)) for shape, kind in answer["found"]]


class ShapeProcess:
    """The process, which is started again when it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, parts: Sequence[bytes]) -> dict[str, Any]:
        """Returns the answer to a question.

        Raises:
            ValueError: If the process ends on this question, or takes too
                long.
        """
        with self._lock:
            process, is_new = self._get()
            try:
                try:
                    return self._exchange(process, parts, ANSWER_SECONDS)
                except EOFError:
                    if is_new:
                        raise
                    # It may have waited for too long, or hold the memory of
                    # earlier graphs. A new one shows if the graph ends it.
                    process, _ = self._get()
                    return self._exchange(process, parts, ANSWER_SECONDS)
            except EOFError:
                reason = (
                    f"finding shapes took more than {GRAPH_BYTES:,} bytes, or "
                    "an operation of the graph is broken"
                )
            except TimeoutError:
                reason = f"finding shapes took over {ANSWER_SECONDS} seconds"
        raise ValueError(
            f"TensorFlow ended on this graph: {reason}. The file is damaged "
            "or malicious."
        )

    def _get(self) -> tuple[subprocess.Popen[bytes], bool]:
        """Returns the process, and whether it was started just now."""
        # After a fork, the process belongs to the parent.
        if self._process is not None and self._owner != os.getpid():
            self._process = None
        if self._process is not None and self._process.poll() is None:
            return self._process, False
        self._end()
        self._owner = os.getpid()
        is_ready = False
        try:
            self._process = start()
            self._exchange(self._process, (), START_SECONDS)
            is_ready = True
        except (EOFError, OSError):
            raise ValueError(
                "the Python process that finds the shapes of a graph did not "
                f"start. Tried: {sys.executable!r}"
            ) from None
        finally:
            if not is_ready:
                self._end()
        return self._process, True

    def _exchange(
        self,
        process: subprocess.Popen[bytes],
        parts: Sequence[bytes],
        seconds: float,
    ) -> dict[str, Any]:
        """Returns the answer to a question, or ends the process.

        Raises:
            EOFError: If the process has ended.
            TimeoutError: If there is no answer in time.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        content: bytes | None = None
        try:
            for part in parts:
                write_part(process.stdin, part)
            content = read_part(process.stdout)
        except (EOFError, OSError):
            if is_late.is_set():
                raise TimeoutError from None
            raise EOFError from None
        finally:
            timer.cancel()
            # Whatever is left of a question must not answer the next one.
            if content is None:
                self._end()
        answer: dict[str, Any] = json.loads(content)
        return answer

    def close(self) -> None:
        """Ends the process, if it runs and is not another process's."""
        with self._lock:
            if self._owner == os.getpid():
                self._end()

    def _end(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            # Also closes the pipes.
            self._process.communicate()
            self._process = None


_PROCESS = ShapeProcess()
atexit.register(_PROCESS.close)


def start() -> subprocess.Popen[bytes]:
    """Starts the process."""
    folders = [os.path.abspath(one) for one in sys.path]
    return subprocess.Popen(
        [sys.executable, "-I", "-c", COMMAND, json.dumps(folders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # It computes nothing that would need a GPU.
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
    )


def write_part(file: IO[bytes], content: bytes) -> None:
    """Writes one part of a question or of an answer."""
    file.write(LENGTH.pack(len(content)))
    file.write(content)
    file.flush()


def read_part(file: IO[bytes]) -> bytes:
    """Returns one part of a question or of an answer."""
    (count,) = LENGTH.unpack(read_exactly(file, LENGTH.size))
    return read_exactly(file, count)


def read_exactly(file: IO[bytes], count: int) -> bytes:
    """Returns as many bytes as are wanted."""
    content = file.read(count)
    if len(content) < count:
        raise EOFError
    return content


def serve() -> None:
    """Answers questions, in the process that was started for it."""
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # TensorFlow prints to where an answer would be.
    os.dup2(2, 1)
    # Imports what the import of a graph needs, while files can be opened.
    graph = make_warm_up()
    for key in ("zeros:0", "missing:0"):
        answer_question([key], graph)
    limit_process()
    write_part(answers, b"{}")
    while True:
        set_alarm(IDLE_SECONDS)
        try:
            keys, content = read_part(questions), read_part(questions)
        except EOFError:
            return
        set_alarm(2 * ANSWER_SECONDS)
        found = answer_question(json.loads(keys), content)
        write_part(answers, json.dumps(found).encode())


def set_alarm(seconds: int) -> None:
    """Makes the system end this process when the time is over."""
    if sys.platform != "win32":
        signal.alarm(seconds)


def make_warm_up() -> bytes:
    """Returns a graph for which TensorFlow computes a constant."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        size = tf.constant([2]) + tf.constant([1])
        tf.zeros(size, name="zeros")
    content: bytes = graph.as_graph_def().SerializeToString()
    return content


def limit_process() -> None:
    """Takes from this process what finding shapes does not need."""
    # Windows has no such limits.
    if sys.platform != "win32":
        import resource

        for kind, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_AS, count_mapped_bytes() + GRAPH_BYTES),
            # Files, directories, pipes and connections alike. Comes last.
            (resource.RLIMIT_NOFILE, 0),
        ):
            # The limit may be lower already, or unknown to the system.
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(kind, (limit, limit))


def count_mapped_bytes() -> int:
    """Returns how much memory this process has mapped, in bytes."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # Not Linux.
        return 1 << 36


def answer_question(keys: Sequence[str], content: bytes) -> dict[str, Any]:
    """Returns the shapes and types of some tensors of a graph, or an error."""
    import tensorflow as tf

    try:
        with tf.Graph().as_default():
            tensors = import_operations(
                tf.compat.v1.GraphDef.FromString(content), return_elements=keys
            )
    except GRAPH_ERRORS as error:
        return {"error": first_line(error)}
    found: list[FoundShape] = []
    for tensor in tensors:
        rank = tensor.shape.rank
        shape = None if rank is None else tensor.shape.as_list()
        found.append((shape, tensor.dtype.as_datatype_enum))
    return {"found": found}
