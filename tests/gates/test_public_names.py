"""Every public name is documented, exported and mentioned in the docs."""

import ast
import dataclasses
import importlib
import inspect
from pathlib import Path
import re
from typing import Any

import pytest

import keras_port
from tests.gates import checkout
from tests.gates.public import CODE_NAMES
from tests.gates.public import NAMES

INIT_FILES = [
    path
    for path in checkout.sources("keras_port")
    if path.name == "__init__.py" and path.parent.name != "keras_port"
]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented(name: str) -> None:
    value = NAMES[name]
    if not (inspect.ismodule(value) or name in CODE_NAMES):
        pytest.skip("a constant has no docstring of its own")
    doc = value.__doc__
    assert doc, f"{name} has no docstring"
    assert doc.strip().splitlines()[0].endswith("."), (
        f"the docstring of {name} does not open with a sentence"
    )


@pytest.mark.parametrize("name", CODE_NAMES)
def test_a_docstring_names_every_argument(name: str) -> None:
    value = NAMES[name]
    arguments = find_arguments(value)
    if not arguments:
        return
    headings = ["Args"]
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        # Users read a record more often than they create one.
        headings.append("Attributes")
    documented = {
        entry
        for heading in headings
        for entry in entries(section(inspect.getdoc(value) or "", heading))
    }
    missing = [argument for argument in arguments if argument not in documented]
    assert not missing, (
        f"`{headings[0]}:` in the docstring of {name} does not name {missing}"
    )


@pytest.mark.parametrize("name", CODE_NAMES)
def test_a_docstring_has_an_example(name: str) -> None:
    # With prompts, because test_docstrings.py runs what follows them.
    example = section(inspect.getdoc(NAMES[name]) or "", "Examples?")
    assert ">>> " in example, (
        f"the docstring of {name} has no `Example:` section with `>>>`"
    )


@pytest.mark.parametrize("name", CODE_NAMES)
def test_public_methods_are_documented(name: str) -> None:
    value = NAMES[name]
    bare = [
        attribute
        for attribute, member in vars(value).items()
        if not attribute.startswith("_")
        and isinstance(member, (property, classmethod, staticmethod))
        | inspect.isfunction(member)
        and not inspect.getdoc(getattr(value, attribute))
    ]
    assert not bare, f"{name} has undocumented members: {bare}"


@pytest.mark.parametrize("path", INIT_FILES, ids=checkout.name)
def test_a_folder_only_re_exports(path: Path) -> None:
    tree = checkout.parse(path)
    assert ast.get_docstring(tree), f"{checkout.name(path)} has no docstring"
    *imports, last = tree.body[1:]
    others = [
        f"{checkout.name(path)}:{node.lineno}: {ast.unparse(node)}"
        for node in imports
        if not isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    assert not others, "only imports may stand here:\n" + "\n".join(others)
    assert isinstance(last, ast.Assign | ast.AnnAssign), (
        "the last statement sets `__all__`"
    )
    target = last.target if isinstance(last, ast.AnnAssign) else last.targets[0]
    assert ast.unparse(target) == "__all__"
    assert last.value is not None
    listed = ast.literal_eval(last.value)
    # `import X as X` is for other folders of the package, not for users.
    brought = [
        alias.name
        for node in imports
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if alias.asname is None
    ]
    assert sorted(listed) == sorted(brought), (
        f"{checkout.name(path)}: `__all__` and the imports differ"
    )


def test_the_package_lists_its_folders() -> None:
    folder = checkout.ROOT / "keras_port"
    parts = {
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    public = sorted(part for part in parts if not part.startswith("_"))
    assert sorted(keras_port.__all__) == public
    bare = [
        part
        for part in public
        if not hasattr(importlib.import_module(f"keras_port.{part}"), "__all__")
    ]
    assert not bare, f"these have no `__all__`: {bare}"


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_in_the_docs(name: str) -> None:
    last = name.rpartition(".")[2]
    text = "\n".join(
        path.read_text() for path in sorted(checkout.ROOT.glob("docs/**/*.md"))
    )
    assert re.search(rf"\b{re.escape(last)}\b", text), (
        f"no page under docs/ mentions {last}"
    )


def find_arguments(value: Any) -> list[str]:
    """Returns the arguments that no other docstring documents."""
    function = value
    if inspect.isclass(value):
        maker = (
            "__init__" if value.__init__ is not object.__init__ else ("__new__")
        )
        owner = next(base for base in value.__mro__ if maker in vars(base))
        inherited = owner is not value and owner in NAMES.values()
        if inherited or not owner.__module__.startswith("keras_port"):
            return []
        # Not `signature(value)`: Keras' `__new__` hides the arguments.
        function = vars(owner)[maker]
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isclass(value):
        parameters = parameters[1:]
    stars = {
        inspect.Parameter.VAR_POSITIONAL: "*",
        inspect.Parameter.VAR_KEYWORD: "**",
    }
    return [stars.get(p.kind, "") + p.name for p in parameters]


def section(doc: str, heading: str) -> str:
    """Returns the indented or `>>>` lines that follow a heading, or ""."""
    match = re.search(
        rf"^{heading}:\n(?P<body>(?:\n|[ ]+.*\n?|>>>.*(?:\n.+)*\n?)+)",
        doc,
        re.M,
    )
    return match["body"].strip("\n") if match else ""


def entries(body: str) -> list[str]:
    """Returns the names that open the entries of a section."""
    return re.findall(r"^ {4}(\*{0,2}\w+)(?: \(.*?\))?:", body, re.M)
