"""The real TensorBoard, in a real browser, shows a training's pages."""

from collections.abc import Iterator
from pathlib import Path
import re
import subprocess
import sys
import time
from typing import Any

import pytest

from keras_port import callbacks
from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import optimizers
from tests.chromium import needs_chromium
from tests.chromium import open_chromium
from tests.chromium import save_screenshot

SECONDS = 120

pytestmark = [pytest.mark.fault("B75"), needs_chromium]

# The text of a page, with what is in shadow roots and frames.
TEXT = """
function text(root) {
  let out = "";
  for (const node of root.childNodes) {
    if (node.nodeType === 3) out += node.textContent + " ";
    if (node.nodeType !== 1) continue;
    if (["STYLE", "SCRIPT"].includes(node.tagName)) continue;
    if (node.shadowRoot) out += text(node.shadowRoot);
    if (node.tagName === "IFRAME" && node.contentDocument) {
      out += text(node.contentDocument.body);
    }
    out += text(node);
  }
  return out;
}
return text(document.body).replace(/\\s+/g, " ");
"""
# The elements that match a selector, wherever they are.
COUNT = """
function all(root, selector) {
  let found = Array.from(root.querySelectorAll(selector));
  for (const node of root.querySelectorAll("*")) {
    if (node.shadowRoot) found = found.concat(all(node.shadowRoot, selector));
    if (node.tagName === "IFRAME" && node.contentDocument) {
      found = found.concat(all(node.contentDocument, selector));
    }
  }
  return found;
}
return all(document, arguments[0]).length;
"""


@pytest.fixture(scope="module")
def log_dir(
    mnist: datasets.Splits, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Returns the logs of a short real training of the course's network."""
    folder = tmp_path_factory.mktemp("logs")
    model = models.build_cnn()
    model.compile(
        optimizers.Adam(1e-3),
        losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )
    pictured = mnist.validation[:200]
    model.fit(
        datasets.shuffled_batches(mnist.train, 50, seed=1),
        steps_per_epoch=20,
        callbacks=[
            callbacks.TensorBoard(
                folder,
                histogram_freq=10,
                data=pictured,
                hparams={"learning_rate": 1e-3, "batch_size": 50},
            ),
            callbacks.StepEvaluation(pictured, eval_freq=10),
        ],
        verbose=0,
    )
    return folder


@pytest.fixture(scope="module")
def address(log_dir: Path) -> Iterator[str]:
    """Yields the address of a TensorBoard that serves the logs."""
    program = [sys.executable, "-m", "tensorboard.main"]
    where = ["--logdir", str(log_dir), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        [*program, *where], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
                yield found[0]
                break
        else:
            pytest.fail("TensorBoard ended before it had an address")
        server.terminate()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yields a headless chromium that asks nobody but this machine."""
    with open_chromium(
        tmp_path_factory.mktemp("chromium"),
        # The projector draws with WebGL, here in software.
        "--enable-unsafe-swiftshader",
        size=(1500, 1000),
    ) as driver:
        yield driver


# The page's name in the address, what its text must hold, and how many
# elements of which kind it must draw.
PAGES = {
    "timeseries": (["accuracy", "train", "validation", "Step"], "svg", 1),
    "scalars": (
        ["accuracy", "loss", "optimizer", "speed"],
        "svg",
        1,
    ),
    "graphs": (
        ["conv1", "fc2", "cross_entropy", "gradients", "trainer", "evaluator"],
        "g.node",
        10,
    ),
    "histograms": (["conv1/kernel_gradient", "fc2"], "svg", 1),
    "distributions": (["conv1/activations", "fc2"], "svg", 1),
    "images": (["misclassified", "confusion_matrix", "conv1"], "img", 1),
    "pr_curves": (["class_0", "validation"], "svg", 1),
    "hparams": (["learning_rate", "batch_size", "accuracy"], "td", 1),
    "projector": (["features", "200x1024"], "canvas", 1),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_the_training(
    page: str, address: str, browser: Any
) -> None:
    words, selector, count = PAGES[page]
    browser.get("about:blank")
    browser.get(f"{address}#{page}")
    deadline = time.monotonic() + SECONDS
    missing, drawn = words, 0
    while time.monotonic() < deadline and (missing or drawn < count):
        time.sleep(1)
        text = browser.execute_script(TEXT)
        missing = [word for word in words if word not in text]
        drawn = browser.execute_script(COUNT, selector)
    save_screenshot(browser, page)
    assert not missing, f"{page} does not show {missing}: {text[:2000]}"
    assert drawn >= count, f"{page} draws {drawn} elements {selector}"
