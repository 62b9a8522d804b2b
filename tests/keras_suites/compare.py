"""Runs Keras' own tests on the package's classes, beside Keras' own.

    python tests/keras_suites/compare.py CHECKOUT

CHECKOUT is a checkout of keras-team/keras of the version that is installed. The
test files are copied into a temporary folder, once as they are and once with
the package's classes in the place of Keras'. A subprocess runs each copy.

Prints a table with a row for each file. Ends with 1 if a test passes with
Keras' class, does not with ours, and is not in `differences.py`, the documented
differences; or if a documented difference is gone.

Some of Keras' tests import jax, scipy and pandas. A file that cannot be
imported is reported as an error in the table.
"""

import argparse
import ast
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.keras_suites.differences import DIFFERENCES  # noqa: E402 (the path)

SOURCE = "keras/src"
# Each file of Keras, and what is replaced in it: see substitutes.py.
SUITES: dict[str, tuple[str, ...]] = {
    "backend/tensorflow/distribute_test.py": ("models",),
    "backend/tensorflow/optimizer_distribute_test.py": ("models",),
    "backend/tensorflow/saved_model_test.py": ("models",),
    "callbacks/backup_and_restore_test.py": ("models",),
    "callbacks/callback_test.py": ("models",),
    "callbacks/csv_logger_test.py": ("models",),
    "callbacks/early_stopping_test.py": ("models",),
    "callbacks/lambda_callback_test.py": ("models",),
    "callbacks/learning_rate_scheduler_test.py": ("models",),
    "callbacks/model_checkpoint_test.py": ("models",),
    "callbacks/monitor_callback_test.py": ("models",),
    "callbacks/reduce_lr_on_plateau_test.py": ("models",),
    "callbacks/swap_ema_weights_test.py": ("models",),
    "callbacks/tensorboard_test.py": ("models",),
    "callbacks/terminate_on_nan_test.py": ("models",),
    "layers/core/dense_test.py": ("Dense",),
    "layers/regularization/dropout_test.py": ("Dropout",),
    "models/cloning_test.py": ("models",),
    "models/functional_test.py": ("models",),
    "models/model_test.py": ("models",),
    "models/sequential_test.py": ("models but Functional",),
    "optimizers/adam_test.py": ("Adam",),
    "optimizers/loss_scale_optimizer_test.py": ("models", "Adam"),
    "optimizers/multi_optimizer_test.py": ("models", "Adam"),
    "optimizers/optimizer_sparse_test.py": ("Adam",),
    "optimizers/optimizer_test.py": ("models", "Adam"),
    "saving/saving_api_test.py": ("models",),
    "saving/saving_lib_test.py": ("models",),
    "trainers/trainer_test.py": ("models",),
    # In another folder of the checkout.
    "integration_tests/tf_custom_fit_test.py": ("models",),
    "integration_tests/tf_distribute_training_test.py": ("models",),
}
PROLOGUE = """\
from tests.keras_suites import substitutes as _substitutes
_substitutes.substitute(globals(), {side!r}, {groups!r})
"""
# Seconds after which a file that hangs is an error.
TIME_LIMIT = 1800


@dataclasses.dataclass(frozen=True)
class Row:
    """What one file of tests has come to.

    Args:
        suite: The file.
        stock: Outcome of every test with Keras' classes, by name: "passed",
            "failed" or "skipped".
        ours: Outcome of every test with the package's classes.
        control: Outcome of every test with what a substitution needs but with
            Keras' classes; empty if it was not run.
        error: Why a side has no outcomes, or "".
    """

    suite: str
    stock: dict[str, str]
    ours: dict[str, str]
    control: dict[str, str] = dataclasses.field(default_factory=dict)
    error: str = ""

    def lost(self) -> list[str]:
        """Returns the tests that stock passes, and ours does not."""
        return [
            name
            for name, outcome in self.stock.items()
            if outcome == "passed"
            and self.ours.get(name, "absent") != "passed"
            and self.control.get(name, "passed") == "passed"
        ]

    def conversions(self) -> list[str]:
        """Returns the tests that fail for the way they were converted."""
        return [
            name
            for name, outcome in self.stock.items()
            if outcome == "passed"
            and self.control.get(name, "passed") != "passed"
        ]

    def reasons(self) -> dict[str, list[str]]:
        """Returns the lost tests by documented difference, "" for none."""
        found: dict[str, list[str]] = {}
        for name in self.lost():
            found.setdefault(difference_of(f"{self.suite}::{name}"), []).append(
                name
            )
        return found


def difference_of(test: str) -> str:
    """Returns the number of the documented difference, or ""."""
    for pattern, number in DIFFERENCES.items():
        if re.search(pattern, test):
            return number
    return ""


def convert(source: str, side: str, groups: Sequence[str]) -> str:
    """Returns a test file that replaces classes after its imports."""
    first = next(
        (
            node
            for node in ast.parse(source).body
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        ),
        None,
    )
    lines = source.splitlines(keepends=True)
    at = len(lines)
    if first is not None:
        at = min(node.lineno for node in [first, *first.decorator_list])
        at -= 1
    prologue = PROLOGUE.format(side=side, groups=tuple(groups))
    return "".join([*lines[:at], prologue, *lines[at:]])


def find(checkout: pathlib.Path, suite: str) -> pathlib.Path:
    """Returns the path of a file of tests in the checkout."""
    path = checkout / suite
    return path if path.exists() else checkout / SOURCE / suite


def run(
    checkout: pathlib.Path, suite: str, side: str, groups: Sequence[str]
) -> dict[str, str]:
    """Returns the outcome of every test of a file, by name.

    Raises:
        RuntimeError: If the file could not be imported, or hangs.
    """
    path = find(checkout, suite)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copy(checkout / "conftest.py", folder)
        data = path.parent / "test_data"
        if data.exists():
            shutil.copytree(data, folder / "test_data")
        source = path.read_text("utf-8")
        if side != "stock":
            source = convert(source, side, groups)
        (folder / path.name).write_text(source, "utf-8")
        (folder / "pytest.ini").write_text("[pytest]\n")
        results = folder / "results.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
        ]
        command += [f"--junitxml={results}", "--tb=short", path.name]
        try:
            ended = subprocess.run(
                command,
                cwd=folder,
                env=os.environ
                | {
                    "KERAS_BACKEND": "tensorflow",
                    "PYTHONPATH": str(ROOT),
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                },
                check=False,
                capture_output=True,
                text=True,
                timeout=TIME_LIMIT,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{side}: over {TIME_LIMIT} s") from None
        if ended.returncode not in (0, 1) or not results.exists():
            last = (ended.stdout + ended.stderr).strip().splitlines()[-3:]
            raise RuntimeError(f"{side}: {' '.join(last)}")
        return read_outcomes(results.read_text("utf-8"))


def read_outcomes(text: str) -> dict[str, str]:
    """Returns the outcome of every test in the XML of a pytest run."""
    outcomes = {}
    for case in ElementTree.fromstring(text).iter("testcase"):
        group = case.get("classname", "").rpartition(".")[2]
        kinds = {child.tag for child in case}
        outcome = "passed"
        if kinds & {"failure", "error"}:
            outcome = "failed"
        elif "skipped" in kinds:
            outcome = "skipped"
        outcomes[f"{group}::{case.get('name')}"] = outcome
    return outcomes


def compare(
    checkout: pathlib.Path, suite: str, known: Row | None = None
) -> Row:
    """Runs a file of tests with Keras' classes and with ours.

    Args:
        checkout: The checkout of Keras.
        suite: The file.
        known: Has the outcomes of Keras' classes. Defaults to `None`: they are
            run.
    """
    groups = SUITES[suite]
    known = known or Row(suite, {}, {})
    try:
        stock = known.stock or run(checkout, suite, "stock", groups)
        ours = run(checkout, suite, "ours", groups)
        row = Row(suite, stock, ours, known.control)
        if row.lost() and not row.control:
            control = run(checkout, suite, "control", groups)
            row = dataclasses.replace(row, control=control)
    except RuntimeError as error:
        return Row(suite, {}, {}, error=str(error))
    return row


def to_markdown(rows: Iterable[Row]) -> str:
    """Returns the table."""
    head = [
        "suite",
        "tests",
        "stock passes",
        "stock fails",
        "ours passes",
        "stock passes, ours does not",
        "which",
    ]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        stock, ours = list(row.stock.values()), list(row.ours.values())
        parts = [
            f"{number or 'NOT DOCUMENTED'}: {shortened(names)}"
            for number, names in sorted(row.reasons().items())
        ]
        if names := row.conversions():
            parts.append(f"conversion fails with Keras, too: {len(names)}")
        if row.error:
            parts.append(f"ERROR: {row.error}".replace("|", "/"))
        numbers = [
            len(stock),
            stock.count("passed"),
            stock.count("failed"),
            ours.count("passed"),
            len(row.lost()),
        ]
        lines.append([row.suite, *map(str, numbers), "; ".join(parts)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shortened(names: Sequence[str], most: int = 12) -> str:
    """Returns the names of tests, or how many there are."""
    found = [f"`{name.rpartition('::')[2]}`" for name in names[:most]]
    if more := len(names) - len(found):
        found.append(f"{more} more")
    return ", ".join(found)


def unused_differences(rows: Iterable[Row]) -> list[str]:
    """Returns the patterns of files that ran, and that no test needs."""
    rows = list(rows)
    ran = {row.suite for row in rows if not row.error}
    lost = [f"{row.suite}::{name}" for row in rows for name in row.lost()]
    return [
        pattern
        for pattern in DIFFERENCES
        if any(pattern.startswith(re.escape(suite)) for suite in ran)
        and not any(re.search(pattern, test) for test in lost)
    ]


def check_version(checkout: pathlib.Path) -> None:
    """Ends unless the checkout is of the version that is installed."""
    text = (checkout / SOURCE / "version.py").read_text("utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    installed = importlib.metadata.version("keras")
    if found is None or found[1] != installed:
        sys.exit(
            f"{checkout} is Keras {found and found[1]}, but Keras {installed} "
            f"is installed. Check out the tag v{installed}."
        )


def main() -> int:
    """Runs the suites, prints the table, and returns the exit status."""
    # Not absl: `tests/` defines no flags, and the only argument is a path.
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument(
        "--suite",
        action="append",
        choices=list(SUITES),
        help="run only this file; may be given several times",
    )
    parser.add_argument("--json", type=pathlib.Path, help="write every outcome")
    parser.add_argument(
        "--stock",
        type=pathlib.Path,
        help="take the outcomes of Keras' classes from this file of --json",
    )
    arguments = parser.parse_args()
    checkout = arguments.checkout.resolve()
    check_version(checkout)
    known = {}
    if arguments.stock:
        content = json.loads(arguments.stock.read_text())
        known = {row["suite"]: Row(**row) for row in content}
    rows = []
    for suite in arguments.suite or SUITES:
        started = time.monotonic()
        rows.append(compare(checkout, suite, known.get(suite)))
        seconds = time.monotonic() - started
        print(f"{suite}: {seconds:.0f} s", file=sys.stderr, flush=True)
        if arguments.json:
            content = [dataclasses.asdict(row) for row in rows]
            arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(to_markdown(rows))
    gone = unused_differences(rows)
    if gone:
        print(f"\nDocumented, but not there any more: {gone}")
    undocumented = any("" in row.reasons() or row.error for row in rows)
    return int(undocumented or bool(gone))


if __name__ == "__main__":
    sys.exit(main())
