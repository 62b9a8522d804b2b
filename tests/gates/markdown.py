"""Reads the code blocks and the links of a Markdown page."""

from collections.abc import Iterator
import dataclasses
from pathlib import Path
import re
import textwrap

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s*(\S+)")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced code block and the line of the page where its code begins.

    `output` is what a page says that the code prints: a block of `text` that
    follows it after an empty line.
    """

    info: str
    line: int
    code: str
    output: str | None = None


def blocks(page: Path) -> list[Block]:
    """Returns the fenced blocks of a page, in order."""
    found = []
    opened: re.Match[str] | None = None
    start = 0
    lines = page.read_text().splitlines()
    for number, text in enumerate(lines, 1):
        if opened is None:
            if opened := FENCE.match(text):
                start = number
        elif text.strip().startswith(opened["fence"]) and not text.strip(" `~"):
            code = textwrap.dedent("\n".join(lines[start : number - 1])) + "\n"
            found.append(Block(opened["info"].strip(), start + 1, code))
            follows = lines[max(start - 3, 0) : start - 1] == ["```", ""]
            if found[-1].info == "text" and follows and len(found) > 1:
                found[-2] = dataclasses.replace(found[-2], output=code)
            opened = None
    if opened is not None:
        raise ValueError(f"{page}:{start}: this code block is never closed")
    return found


def prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yields the numbered lines of a page that are not in a code block."""
    inside: set[int] = set()
    for block in blocks(page):
        length = block.code.count("\n")
        inside |= set(range(block.line - 1, block.line + length + 1))
    for number, text in enumerate(page.read_text().splitlines(), 1):
        if number not in inside:
            yield number, re.sub(r"`[^`]*`", "``", text)


def links(page: Path) -> Iterator[tuple[int, str]]:
    """Yields the line and the target of every link of a page."""
    lines = list(prose(page))
    for number, text in lines:
        for target in REFERENCE.findall(text):
            yield number, target
    # The text of a link may span two lines.
    text = "\n".join(text for _, text in lines)
    for match in LINK.finditer(text):
        number, _ = lines[text.count("\n", 0, match.start())]
        yield number, match[1]


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives to the headings of a page."""
    return {
        re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
        for text in page.read_text().splitlines()
        if (match := HEADING.match(text))
    }
