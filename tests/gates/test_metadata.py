"""Facts that are written in two places agree."""

import ast
import configparser
import re

import keras_port
from tests.gates import checkout

SETUP = configparser.ConfigParser()
SETUP.read(checkout.ROOT / "setup.cfg")
GITHUB = checkout.ROOT / ".github"


def lines(section: str, option: str) -> list[str]:
    """Returns the entries of a list in setup.cfg."""
    return [
        line
        for line in SETUP[section][option].splitlines()
        if line.strip() and not line.startswith("#")
    ]


def test_the_version_is_written_once() -> None:
    assert SETUP["metadata"]["version"] == "attr: keras_port.__version__"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", keras_port.__version__)


def test_the_workflow_tests_every_python_of_the_classifiers() -> None:
    workflow = (GITHUB / "workflows" / "tests.yml").read_text()
    matrix = re.search(r"python: (\[.*\])", workflow)
    assert matrix is not None
    classifiers = "\n".join(lines("metadata", "classifiers"))
    assert ast.literal_eval(matrix[1]) == re.findall(
        r"Python :: (3\.\d+)", classifiers
    )


def test_the_lower_bounds_are_those_of_the_requirements() -> None:
    found = re.findall(
        r"^([\w-]+)==([\d.]+)(; .+)?$",
        (GITHUB / "lower-bounds.txt").read_text(),
        re.M,
    )
    wanted = [
        re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,![!=,\d.]+)?(; .+)?", line)
        for line in lines("options", "install_requires")
    ]
    assert [
        (name, shorten(version), marker) for name, version, marker in found
    ] == [match.groups("") for match in wanted if match]
    assert None not in wanted


def test_the_package_describes_every_folder() -> None:
    described = re.findall(r"^- `(\w+)`:", keras_port.__doc__ or "", re.M)
    assert sorted(described) == sorted(keras_port.__all__)


def shorten(version: str) -> str:
    """Returns a version as setup.cfg writes it: 3.12.0 as 3.12."""
    return version.removesuffix(".0")
