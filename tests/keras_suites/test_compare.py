"""The comparison with Keras' tests finds and names what differs."""

import json
from pathlib import Path
import re
import sys
from typing import Any
from unittest import mock

import keras
import pytest

from keras_port import optimizers
from keras_port import training
from tests.gates import checkout
from tests.keras_suites import compare
from tests.keras_suites import differences
from tests.keras_suites import substitutes

SUITE = "models/small_test.py"
# Like a file of Keras: names by `from` imports and by modules.
SMALL = """
import unittest

import keras
from keras import layers
from keras import models
from keras.models import Model


@keras.saving.register_keras_serializable("small")
class Mine(Model):
    pass


class SmallTest(unittest.TestCase):
    def test_equal(self):
        assert issubclass(Mine, keras.Model) and models.Model is Model

    def test_stock(self):
        assert Model.__module__.split(".")[:2] == ["keras", "src"]

    def test_skipped(self):
        self.skipTest("not here")
"""


@pytest.fixture
def keras_checkout(tmp_path: Path) -> Path:
    """Returns a folder like a checkout of Keras."""
    source = tmp_path / compare.SOURCE
    (source / "models").mkdir(parents=True)
    (source / SUITE).write_text(SMALL)
    (source / "version.py").write_text(f'__version__ = "{keras.__version__}"\n')
    (tmp_path / "conftest.py").write_text("")
    return tmp_path


def compared(keras_checkout: Path, **known: str) -> compare.Row:
    """Returns the row of the small file."""
    with (
        mock.patch.dict(compare.SUITES, {SUITE: ("models",)}),
        mock.patch.object(compare, "DIFFERENCES", known),
    ):
        return compare.compare(keras_checkout, SUITE)


@pytest.mark.slow
def test_a_test_that_only_stock_passes_is_found(keras_checkout: Path) -> None:
    row = compared(keras_checkout)
    assert row.stock == {
        "SmallTest::test_equal": "passed",
        "SmallTest::test_stock": "passed",
        "SmallTest::test_skipped": "skipped",
    }
    assert row.ours["SmallTest::test_equal"] == "passed"
    assert row.ours["SmallTest::test_stock"] == "failed"
    # The control has Keras' own class there.
    assert row.control["SmallTest::test_stock"] == "passed"
    assert row.lost() == ["SmallTest::test_stock"]
    with mock.patch.object(
        compare, "DIFFERENCES", {"small_test.*stock$": "D1"}
    ):
        assert row.reasons() == {"D1": ["SmallTest::test_stock"]}
        assert "D1: `test_stock`" in compare.to_markdown([row])
    with mock.patch.object(compare, "DIFFERENCES", {}):
        assert row.reasons() == {"": ["SmallTest::test_stock"]}
        assert "NOT DOCUMENTED: `test_stock`" in compare.to_markdown([row])


@pytest.mark.slow
def test_the_outcomes_of_keras_may_be_known(keras_checkout: Path) -> None:
    stock = {"SmallTest::test_equal": "passed", "SmallTest::test_old": "passed"}
    with mock.patch.dict(compare.SUITES, {SUITE: ("models",)}):
        row = compare.compare(
            keras_checkout, SUITE, compare.Row(SUITE, stock, {}, stock)
        )
    assert row.stock == row.control == stock
    assert row.lost() == ["SmallTest::test_old"]


def test_what_fails_for_the_conversion_is_not_lost() -> None:
    row = compare.Row(
        SUITE,
        stock={"one": "passed", "two": "passed"},
        ours={"one": "failed", "two": "failed"},
        control={"one": "failed", "two": "passed"},
    )
    assert row.lost() == ["two"]
    assert row.conversions() == ["one"]


def test_a_difference_that_is_gone_is_found() -> None:
    row = compare.Row(SUITE, {"A::one": "passed"}, {"A::one": "passed"})
    lost = compare.Row(SUITE, {"A::one": "passed"}, {"A::one": "failed"})
    pattern = f"{re.escape(SUITE)}::A::one"
    with mock.patch.object(compare, "DIFFERENCES", {pattern: "D1"}):
        assert compare.unused_differences([row]) == [pattern]
        assert compare.unused_differences([lost]) == []
        # Of a file that was not run nothing is known.
        assert compare.unused_differences([]) == []


def test_a_file_that_cannot_be_imported_is_an_error(
    keras_checkout: Path,
) -> None:
    path = keras_checkout / compare.SOURCE / SUITE
    path.write_text("import a_package_that_is_not_there\n")
    row = compared(keras_checkout)
    assert row.error.startswith("stock: ")
    assert "ERROR: stock: " in compare.to_markdown([row])


def test_another_version_is_refused(
    keras_checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = keras_checkout / compare.SOURCE / "version.py"
    version.write_text('__version__ = "3.0.0"\n')
    monkeypatch.setattr(sys, "argv", ["compare.py", str(keras_checkout)])
    with pytest.raises(SystemExit, match=r"is Keras 3\.0\.0, but Keras"):
        compare.main()


def test_the_exit_status_says_whether_all_is_documented(
    keras_checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "outcomes.json"
    arguments = [str(keras_checkout), f"--json={path}"]
    monkeypatch.setattr(sys, "argv", ["compare.py", *arguments])
    row = compare.Row(SUITE, {"A::one": "passed"}, {"A::one": "failed"})
    monkeypatch.setattr(compare, "SUITES", {SUITE: ("models",)})
    monkeypatch.setattr(compare, "compare", lambda *_: row)
    monkeypatch.setattr(compare, "DIFFERENCES", {})
    assert compare.main() == 1
    assert json.loads(path.read_text())[0]["suite"] == SUITE
    monkeypatch.setattr(compare, "DIFFERENCES", {"A::one": "D1"})
    assert compare.main() == 0
    assert "D1: `one`" in capsys.readouterr().out


def test_the_prologue_comes_after_the_imports() -> None:
    text = compare.convert(SMALL, "ours", ("models",))
    lines = text.splitlines()
    at = lines.index(
        "from tests.keras_suites import substitutes as _substitutes"
    )
    assert "Model" in "".join(lines[:at])
    assert lines[at + 2].startswith("@keras.saving")


def test_our_classes_are_wherever_the_tests_find_them() -> None:
    names: dict[str, Any] = {
        "Model": keras.Model,
        "keras": keras,
        "models": keras.models,
        "Adam": keras.optimizers.Adam,
        "re": re,
    }
    substitutes.substitute(names, "ours", ("models", "Adam"))
    ours = training.GradientModel
    assert names["Model"] is names["models"].Model is names["keras"].Model
    assert names["Model"] is ours is names["keras"].models.Model
    assert issubclass(names["models"].Sequential, ours)
    assert names["Adam"] is names["keras"].optimizers.Adam is optimizers.Adam
    assert names["re"] is re
    assert keras.Model is not ours


def test_a_test_that_patches_a_module_patches_the_real_one() -> None:
    names: dict[str, Any] = {"keras": keras}
    substitutes.substitute(names, "ours", ("models",))
    with mock.patch.object(names["keras"].utils, "clear_session", None):
        assert keras.utils.clear_session is None
    assert keras.utils.clear_session is not None


def test_every_difference_has_a_row_in_the_docs() -> None:
    page = (checkout.ROOT / "docs" / "keras_differences.md").read_text()
    numbers = re.findall(r"^\| (D\d+) \|", page, re.M)
    assert set(differences.DIFFERENCES.values()) <= set(numbers)
    assert numbers == [f"D{n}" for n in range(1, len(numbers) + 1)]


def test_every_pattern_names_a_file_that_is_run() -> None:
    for pattern in differences.DIFFERENCES:
        suites = [s for s in compare.SUITES if pattern.startswith(re.escape(s))]
        assert len(suites) == 1, pattern


@pytest.mark.parametrize("side", ["ours", "control"])
def test_a_trainer_with_a_layer_is_a_model_that_calls_the_layer(
    side: str,
) -> None:
    names: dict[str, Any] = {"Trainer": substitutes.trainer_class()}
    substitutes.substitute(names, side, ("models",))
    trainer = names["Trainer"]

    class Dense(trainer, keras.layers.Dense):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            keras.layers.Dense.__init__(self, 3)
            trainer.__init__(self)

    class Double(trainer, keras.layers.Layer):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            keras.layers.Layer.__init__(self)
            trainer.__init__(self)

        def call(self, x: Any) -> Any:
            return 2 * x

    expected = training.GradientModel if side == "ours" else keras.Model
    for model, columns in ((Dense(), 3), (Double(), 2)):
        assert isinstance(model, expected)
        model.compile("sgd", "mse")
        assert model(keras.ops.ones((4, 2))).shape == (4, columns)
