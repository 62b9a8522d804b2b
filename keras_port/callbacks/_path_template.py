"""A path with placeholders, and which files it may have written."""

import os
import pathlib
import re
import string

from keras_port._support import absolute_path
from keras_port.checkpoints import CheckpointRecord

SUFFIXES = (".keras", ".weights.h5")
# A disk takes 255, and the file has a longer name while it is written.
MAX_BYTES = 200
# A number in a formatted value, whatever fills the width around it.
NUMBER = re.compile(r"[-+]?\d[\d,_]*(?:\.\d*)?(?:[eE][-+]?\d+)?")


class PathTemplate:
    """Makes paths such as `m-0008.keras` of `m-{step:04d}.keras`.

    Args:
        path: The path, with or without placeholders.

    Raises:
        ValueError: If `path` could never be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = absolute_path("path", path)
        text = str(self.path)
        if not text.endswith(SUFFIXES):
            raise ValueError(
                f"`path` must end with one of {SUFFIXES}. "
                f"Received: path={text!r}"
            )
        self._parts = parse_template(self.path.name)
        self.placeholders = {
            field for _, field, _ in self._parts if field is not None
        }
        size = len(os.fsencode(self.path.name))
        if size > MAX_BYTES:
            raise ValueError(
                f"The file name in `path` must have at most {MAX_BYTES} bytes, "
                f"and has {size}. Received: path={text!r}"
            )
        # One that exists may have braces in its name.
        if not self.directory.exists() and any(
            field for _, field, _ in parse_template(str(self.directory))
        ):
            raise ValueError(
                "`path` may have placeholders in the file's name only. "
                f"Received: path={text!r}"
            )

    @property
    def directory(self) -> pathlib.Path:
        """Directory of all the files."""
        return self.path.parent

    def format(self, values: dict[str, float]) -> pathlib.Path:
        """Returns the path for these values, as `str.format` writes it."""
        text = "".join(
            literal if field is None else literal + format(values[field], spec)
            for literal, field, spec in self._parts
        )
        return self.directory / text

    def is_like(self, name: str) -> bool:
        """Tells whether a name has the texts around the placeholders."""
        pattern = "".join(
            re.escape(literal) + ("" if field is None else ".+")
            for literal, field, _ in self._parts
        )
        return re.fullmatch(pattern, name) is not None

    def may_write(self, name: str) -> bool:
        """Tells whether some step and results give a file this name."""
        return self._matches(name, {})

    def wrote(self, name: str, record: CheckpointRecord) -> bool:
        """Tells whether the save that left this record gave it this name."""
        values = {"step": record.step, record.monitor: record.value}
        return self._matches(name, values)

    def _matches(self, name: str, known: dict[str, float]) -> bool:
        """Tells whether a name has these values, and numbers for the others."""
        pattern, specs = "", []
        for literal, field, spec in self._parts:
            pattern += re.escape(literal)
            if field in known:
                pattern += re.escape(format(known[field], spec))
            elif field is not None:
                pattern += "(.+?)"
                specs.append((spec, int if field == "step" else float))
        found = re.fullmatch(pattern, name)
        return found is not None and all(
            is_formatted(text, spec, kind)
            for text, (spec, kind) in zip(found.groups(), specs, strict=True)
        )


def is_formatted(text: str, spec: str, kind: type[float]) -> bool:
    """Tells whether a number exists that `spec` writes as `text`."""
    if text in ("nan", "inf", "-inf"):
        return kind is float
    found = NUMBER.search(text)
    if not found:
        return False
    try:
        number = kind(found[0].replace(",", ""))
        # `{val_accuracy:.1%}` writes 0.97 as 97.0%.
        return format(number / 100 if "%" in spec else number, spec) == text
    except ValueError:
        return False


def parse_template(text: str) -> list[tuple[str, str | None, str]]:
    """Returns the literal texts, each with the placeholder after it.

    Returns:
        Tuples of a text, and the name and the format of the placeholder, as in
        `[("m-", "step", "06d"), (".keras", None, "")]`.

    Raises:
        ValueError: If a placeholder is not a name with a format.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(
            f"`path={text!r}` has a wrong placeholder: {error}. Write it like "
            "`model-{step:06d}.keras`."
        ) from error
    for _, field, spec, conversion in parts:
        if conversion or "{" in (spec or "") or field == "":
            raise ValueError(
                f"`path={text!r}` has a wrong placeholder: it must be a name "
                "with or without a format. Write it like "
                "`model-{step:06d}.keras`."
            )
    return [(literal, field, spec or "") for literal, field, spec, _ in parts]
