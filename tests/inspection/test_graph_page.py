"""The page of a graph: whole, harmless, and without a network."""

from html.parser import HTMLParser
import json
from pathlib import Path
import re

import pytest

from keras_port import inspection
from keras_port import models
from keras_port.inspection.graph_page import graph_page

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"


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


@pytest.fixture(scope="module")
def graph() -> inspection.ModelGraph:
    return inspection.graph(models.build_cnn())


@pytest.fixture(scope="module")
def page(
    graph: inspection.ModelGraph, tmp_path_factory: pytest.TempPathFactory
) -> str:
    path = tmp_path_factory.mktemp("page") / "graph.html"
    assert graph.to_html(str(path)) == path
    return path.read_text("utf-8")


def test_the_page_holds_all_operations(
    graph: inspection.ModelGraph, page: str
) -> None:
    data = json.loads(Page(page).text_of("script"))
    assert [item["name"] for item in data] == [
        operation.name for operation in graph.operations
    ]
    relu = next(item for item in data if item["name"] == "conv1/relu")
    assert relu["inputs"] == ["conv1/biasadd:0"]
    assert relu["outputs"] == [
        ["conv1/relu:0", "float32", "(None, 28, 28, 32)"]
    ]
    convolution = next(i for i in data if i["name"] == "conv1/convolution")
    assert convolution["attributes"]["strides"] == "1, 1, 1, 1"
    assert Page(page).text_of("h1") == "cnn"


def test_the_page_loads_nothing(page: str) -> None:
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
    assert "@import" not in page
    assert "fetch(" not in page
    policy = [a["content"] for t, a in parsed.tags if "http-equiv" in a]
    assert policy[0].startswith("default-src 'none'")


def test_the_script_writes_text_and_never_markup(page: str) -> None:
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "write("):
        assert way not in page


def test_names_cannot_end_the_script_or_begin_a_tag() -> None:
    evil = inspection.GraphOperation(
        name=EVIL,
        type=EVIL,
        inputs=(EVIL,),
        outputs=(f"{EVIL}:0",),
        shapes=((None,),),
        dtypes=(EVIL,),
        attributes={EVIL: EVIL},
    )
    text = graph_page(EVIL, [evil])
    parsed, usual = Page(text), Page(graph_page("cnn", []))
    assert [tag for tag, _ in parsed.tags] == [tag for tag, _ in usual.tags]
    assert parsed.text_of("h1") == EVIL
    (data,) = json.loads(parsed.text_of("script"))
    assert data["name"] == EVIL
    assert data["attributes"] == {EVIL: EVIL}


def test_a_title_that_looks_like_the_templates_marks_is_a_title() -> None:
    parsed = Page(graph_page("{{data}} {{title}}", []))
    assert parsed.text_of("h1") == "{{data}} {{title}}"
    assert json.loads(parsed.text_of("script")) == []


def test_an_existing_page_is_replaced(
    graph: inspection.ModelGraph, tmp_path: Path
) -> None:
    path = tmp_path / "graph.html"
    path.write_text("old " * 1_000_000)
    graph.to_html(path)
    assert path.read_text("utf-8").startswith("<!DOCTYPE html>")
