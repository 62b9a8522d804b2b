"""What the tests with other tools have in common."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, and lets the tools warn."""
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.tools)
            # The warnings of other tools are not for us to fix.
            item.add_marker(pytest.mark.filterwarnings("default"))
