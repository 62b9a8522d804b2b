"""The page of a graph: whole, harmless, and without a network."""

import json
from pathlib import Path

import pytest

from keras_port import inspection
from keras_port import models
from keras_port.inspection.graph_page import graph_page
from tests.inspection.html_page import Page
from tests.inspection.html_page import check_loads_nothing
from tests.inspection.html_page import check_writes_no_markup

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"


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
    check_loads_nothing(page)


def test_the_script_writes_text_and_never_markup(page: str) -> None:
    check_writes_no_markup(page)


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
