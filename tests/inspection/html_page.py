"""What the tests of the pages share: a page's parts, and what none may do."""

from html.parser import HTMLParser
import re


class Page(HTMLParser):
    """Collects the tags of a page and the text in each script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    def text_of(self, tag: str) -> str:
        names = [name for name, _ in self.tags]
        return self.texts[names.index(tag)].strip()


def check_loads_nothing(page: str) -> None:
    """Checks that a page needs no other file and no network."""
    parsed = Page(page)
    assert {tag for tag, _ in parsed.tags}.isdisjoint(
        {"link", "img", "iframe", "object", "embed", "base"}
    )
    for tag, attributes in parsed.tags:
        assert not {"src", "href", "srcset"} & set(attributes), tag
    # The name of SVG's vocabulary is no address that anything is read from.
    assert set(re.findall(r"https?://[^\s\"'<>]+", page)) <= {
        "http://www.w3.org/2000/svg"
    }
    for way in ("@import", "fetch(", "XMLHttpRequest", "import("):
        assert way not in page
    assert not re.findall(r"url\((?!#)", page)
    policy = [a["content"] for t, a in parsed.tags if "http-equiv" in a]
    assert str(policy[0]).startswith("default-src 'none'")


def check_writes_no_markup(page: str) -> None:
    """Checks that names of a model can become text only."""
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "write("):
        assert way not in page
