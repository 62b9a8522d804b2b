"""A real browser for the pages that the package writes and serves."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
# Pictures of the pages stay here, for a person to look at.
SCREENSHOTS = Path(
    os.environ.get("KERAS_PORT_SCREENSHOTS", "build/screenshots")
)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="chromium and chromedriver are not installed; on Debian: "
    "apt-get install chromium chromium-driver",
)


@contextlib.contextmanager
def open_chromium(
    profile: Path, *arguments: str, size: tuple[int, int]
) -> Iterator[Any]:
    """Yields a headless chromium that asks nobody but this machine.

    Args:
        profile: An empty directory for what the browser remembers.
        *arguments: More arguments of its command.
        size: Width and height of the window.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--window-size={size[0]},{size[1]}",
        f"--user-data-dir={profile}",
        *arguments,
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def save_screenshot(driver: Any, name: str) -> None:
    """Saves what the window shows as a picture."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(SCREENSHOTS / f"{name}.png"))
