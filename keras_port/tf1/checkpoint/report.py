"""What became of each variable when a TensorFlow 1 checkpoint was loaded."""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple


class Misshaped(NamedTuple):
    """A pair whose shapes differ: the model's side, then the file's."""

    path: str
    shape: tuple[int, ...]
    name: str
    file_shape: tuple[int, ...]

    def __str__(self) -> str:
        return (
            f"{self.path} {self.shape} of the model against {self.name} "
            f"{self.file_shape} of the file"
        )


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Tells which variables of a checkpoint went where, and which did not.

    Args:
        prefix: Prefix of the checkpoint's files.
        matched_by: How weights were recognised: `"name"`, `"order"`,
            `"shape"` or `"map"`.
        used: Pairs of a path in the model or its optimizer, and the name in
            the file.
        unused: Names in the file that nothing took.
        missing: Paths of the model or its optimizer for which the file has
            nothing.
        misshaped: Records of a `path` and `shape` in the model, and a `name`
            and `file_shape` in the file, where the two shapes differ.
        step: The count of updates that the optimizer has now, or `None` if
            the file has none or it was not asked for.

    Example:

    >>> _ = save_checkpoint(model, "export/model.ckpt")
    >>> report = load_checkpoint(model, "export")
    >>> report.used[0], report.missing
    (('fc/kernel', 'W'), ())
    """

    prefix: str
    matched_by: str
    used: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    misshaped: tuple[Misshaped, ...]
    step: int | None

    def __str__(self) -> str:
        step = "none" if self.step is None else f"{self.step:,}"
        lines = [
            f"{self.prefix}: weights recognised by {self.matched_by}, "
            f"step count {step}"
        ]
        pairs = [f"{path} <- {name}" for path, name in self.used]
        for title, entries in (
            ("used", pairs),
            ("unused in the file", self.unused),
            ("missing in the file", self.missing),
            ("of another shape", self.misshaped),
        ):
            lines += section(title, entries)
        return "\n".join(lines)

    def problems(self) -> str:
        """Returns in one line what does not fit, or an empty string."""
        parts = []
        if self.misshaped:
            listed = ", ".join(map(str, self.misshaped))
            parts.append(f"shapes differ: {listed}")
        if self.missing:
            listed = ", ".join(self.missing)
            parts.append(f"missing in the file: {listed}")
        if parts:
            unused = ", ".join(self.unused) or "nothing"
            parts.append(f"unused in the file: {unused}")
        return "; ".join(parts)


def section(title: str, entries: Sequence[object]) -> list[str]:
    """Returns the lines of one part of a report, none if it is empty."""
    if not entries:
        return []
    return [f"  {title}: {len(entries)}"] + [f"    {e}" for e in entries]
