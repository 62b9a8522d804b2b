"""The tests have the folders of what they test."""

from pathlib import Path

import pytest

from tests.gates import checkout

TESTS = checkout.ROOT / "tests"
# These test other folders of the checkout, or no folder of it.
OTHERS = {
    "benchmarks",
    "examples",
    "gates",
    "keras_suites",
    "reliances",
    "tools",
    "upstream",
}
FOLDERS = sorted(
    {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_tests_has_the_name_of_what_it_tests(
    folder: Path,
) -> None:
    mirrored = checkout.ROOT / "keras_port" / folder
    assert str(folder) in OTHERS or mirrored.is_dir(), (
        f"tests/{folder.as_posix()} tests no folder of the package; move its "
        "tests to the folder of what they test"
    )
