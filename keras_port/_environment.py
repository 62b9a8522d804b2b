"""Checks at import that the environment can run the package."""

import importlib.metadata
import os
import re

# The oldest versions that the tests have passed on.
MINIMUM_VERSIONS = {"keras": (3, 12), "tensorflow": (2, 20)}


def check_environment() -> None:
    """Raises `ImportError` unless Keras runs on TensorFlow, both new enough."""
    for package, minimum in MINIMUM_VERSIONS.items():
        check_version(package, minimum)
    # Before Keras is imported: with a backend that is not installed, the import
    # itself would fail, with an error about that other package.
    check_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")
    try:
        import keras
    except (ImportError, ValueError) as error:
        # ValueError: Keras does not know the backend in keras.json.
        raise ImportError(
            f"Keras could not be imported: {error}. If it names another "
            "backend than TensorFlow, set the environment variable "
            "KERAS_BACKEND=tensorflow."
        ) from error
    # The file ~/.keras/keras.json can name a backend, too.
    check_backend(keras.config.backend())


def check_version(package: str, minimum: tuple[int, int]) -> None:
    """Raises `ImportError` when `package` is missing or below `minimum`."""
    wanted = f"{package}>={minimum[0]}.{minimum[1]}"
    fix = f'Install it with: pip install -U "{wanted}"'
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Builds such as tensorflow-cpu have a different distribution name; the
        # import that follows fails if the package is missing.
        return
    if parse_version(found) < minimum:
        raise ImportError(
            f"keras_port needs {wanted}, but {package} {found} is installed. "
            f"{fix}"
        )


def parse_version(text: str) -> tuple[int, int]:
    """Returns the first two numbers of a version, "3.15rc1" as (3, 15)."""
    major, minor = [int(number) for number in re.findall(r"\d+", text)[:2]]
    return major, minor


def check_backend(backend: str) -> None:
    """Raises `ImportError` if Keras uses a different backend."""
    if backend != "tensorflow":
        raise ImportError(
            f"keras_port needs Keras on TensorFlow, but the backend is "
            f"{backend!r}. Set the environment variable "
            'KERAS_BACKEND=tensorflow (or "backend": "tensorflow" in '
            "~/.keras/keras.json) before Keras is imported."
        )
