"""What may be imported and called, and where."""

import ast
from collections.abc import Iterator
import graphlib
from pathlib import Path
import re

from tests.gates import checkout

ALL_CODE = ("keras_port", "examples", "benchmarks", "tests")

# Private names can change in any release. Text is searched too, because a name
# in a string can be passed to `importlib.import_module`.
PRIVATE = re.compile(
    r"\bkeras\.src\b|\btensorflow\.python\b|\btf\.python\b|"
    r"\bfrom keras import src\b|\bfrom tensorflow import python\b"
)
PRIVATE_MODULES = ("keras.src", "tensorflow.python")

# What every part of keras_port may import from the others: a folder, or one of
# its modules ("datasets.pixels") where the folder is too much.
_LEAVES = {"datasets", "layers", "losses", "optimizers"}
_BASE = _LEAVES | {"models", "training"}
ARROWS: dict[str, set[str]] = {
    "datasets": set(),
    "layers": {"datasets.pixels"},
    "losses": set(),
    "optimizers": set(),
    "training": _LEAVES,
    "models": _LEAVES | {"training"},
    "checkpoints": set(),
    "inspection": _BASE,
    "tf1": _BASE | {"checkpoints"},
    "distribution": _BASE,
    "callbacks": _BASE | {"checkpoints", "inspection"},
    "runs": {"callbacks", "checkpoints", "training"},
}


def test_no_private_name_of_keras_or_tensorflow_is_used() -> None:
    found = []
    for path in checkout.sources(*ALL_CODE):
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if PRIVATE.search(line):
                found.append(f"{checkout.name(path)}:{number}: {line.strip()}")
        for number, module in checkout.find_imports(checkout.parse(path)):
            if f"{module}.".startswith(tuple(f"{m}." for m in PRIVATE_MODULES)):
                found.append(f"{checkout.name(path)}:{number}: {module}")
    assert not found, "private imports:\n" + "\n".join(found)


def test_arrows_between_folders_point_one_way() -> None:
    found = []
    for path in checkout.sources("keras_port"):
        part = get_part(path)
        if part == "__init__":
            continue
        allowed = get_allowed(part)
        for number, module in find_inner_imports(path):
            if not is_allowed(module, part, allowed):
                found.append(
                    f"{checkout.name(path)}:{number}: {part} must not import "
                    f"keras_port.{module}; it may import "
                    f"{sorted(allowed) or 'nothing of keras_port'}"
                )
    assert not found, "\n".join(found)


def test_a_folder_is_entered_through_its_door() -> None:
    found = [
        f"{checkout.name(path)}:{number}: import from "
        f"keras_port.{door} and not from keras_port.{module}"
        for path in checkout.sources("keras_port")
        for number, module in find_inner_imports(path)
        if (door := find_skipped_door(path, module)) is not None
    ]
    assert not found, "\n".join(found)


def test_arrows_have_no_cycle() -> None:
    graph = {
        part: {target.split(".")[0] for target in targets}
        for part, targets in ARROWS.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_flags_are_defined_only_in_scripts() -> None:
    found = []
    for path in checkout.sources("keras_port", "tests"):
        tree = checkout.parse(path)
        lines = [number for number, _ in calls(tree, r"DEFINE_\w+")]
        if path.is_relative_to(checkout.ROOT / "keras_port"):
            lines += [
                number
                for number, module in checkout.find_imports(tree)
                if f"{module}.".startswith("absl.flags.")
            ]
        found += [f"{checkout.name(path)}:{number}" for number in lines]
    assert not found, f"flags outside examples and benchmarks: {found}"


def test_the_package_prints_nothing() -> None:
    found = [
        f"{checkout.name(path)}:{number}"
        for path in checkout.sources("keras_port")
        # A command, which prints its results.
        if path.name != "__main__.py"
        for number, _ in calls(checkout.parse(path), "print")
    ]
    assert not found, f"print in the package; use absl.logging: {found}"


def get_part(path: Path) -> str:
    """Returns the folder or top-level module of keras_port that has a file."""
    first = path.relative_to(checkout.ROOT / "keras_port").parts[0]
    return first.removesuffix(".py")


def get_allowed(part: str) -> set[str]:
    """Returns what a part may import; a private top module, nothing."""
    if part.startswith("_"):
        return set()
    assert part in ARROWS, (
        f"keras_port/{part} is not in ARROWS of this test; "
        "add what it may import"
    )
    return ARROWS[part]


def find_inner_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the line and the name of every import from keras_port."""
    for number, module in checkout.find_imports(checkout.parse(path)):
        if module == "keras_port":
            yield number, "*"
        elif module.startswith("keras_port."):
            yield number, module.removeprefix("keras_port.")


def is_allowed(module: str, part: str, allowed: set[str]) -> bool:
    """Returns whether a part may import a module, or the module is private."""
    if module.startswith("_") or f"{module}.".startswith(f"{part}."):
        return True
    return any(f"{module}.".startswith(f"{target}.") for target in allowed)


def find_skipped_door(path: Path, module: str) -> str | None:
    """Returns the folder whose `__init__` an import skips, or `None`."""
    folder = checkout.ROOT / "keras_port"
    parts = module.split(".")
    for count, part in enumerate(parts, 1):
        folder /= part
        if not folder.is_dir() or path.is_relative_to(folder):
            continue
        # The outermost folder that does not contain the importing file.
        door = ".".join(parts[:count])
        through = {"*", *find_exports(folder)}
        inner = parts[count:]
        return door if inner and not {*inner[:1]} & through else None
    return None


def find_exports(folder: Path) -> set[str]:
    """Returns the names that the `__init__` of a folder imports."""
    return {
        alias.name
        for node in checkout.parse(folder / "__init__.py").body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def calls(tree: ast.Module, pattern: str) -> Iterator[tuple[int, str]]:
    """Yields the line and the last name of every call that matches."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            name = getattr(function, "attr", getattr(function, "id", ""))
            if re.fullmatch(pattern, name):
                yield node.lineno, name
