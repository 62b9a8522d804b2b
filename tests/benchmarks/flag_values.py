"""Values of flags for the code of a script that a test calls."""

from collections.abc import Iterator
import contextlib
import types
from typing import Any
from unittest import mock

from absl import flags


@contextlib.contextmanager
def flag_values(**values: Any) -> Iterator[None]:
    """Gives `flags.FLAGS` these values alone, until the end of the block."""
    with mock.patch.object(flags, "FLAGS", types.SimpleNamespace(**values)):
        yield
