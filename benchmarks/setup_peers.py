"""Creates the environments in which the benchmarks' peers run.

One for PyTorch and one for JAX, in `build/peers`, which git ignores. An
environment that exists is left as it is.
"""

import pathlib
import subprocess
import sys
import venv

from absl import app
from absl import flags

FOLDER = pathlib.Path(__file__).parents[1] / "build" / "peers"
PACKAGES = {
    "pytorch": ["torch==2.13.0", "numpy"],
    "jax": ["jax==0.10.*", "jaxlib==0.10.*", "numpy"],
}


def define_flags() -> None:
    """Defines the flags of this script."""
    flags.DEFINE_multi_enum(
        "peer", list(PACKAGES), list(PACKAGES), "Environments to create."
    )
    flags.DEFINE_string(
        "pytorch_index",
        None,
        "Further package index for PyTorch; a build without CUDA is at "
        "https://download.pytorch.org/whl/cpu.",
    )


def command(name: str, pytorch_index: str | None) -> list[str]:
    """Returns the command that installs a peer into its environment."""
    python = str(FOLDER / name / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet"]
    if name == "pytorch" and pytorch_index:
        install += ["--extra-index-url", pytorch_index]
    return install + PACKAGES[name]


def main(_: list[str]) -> None:
    """Creates the environments that do not exist."""
    for name in flags.FLAGS.peer:
        if (FOLDER / name / "ready").exists():
            print(f"{FOLDER / name} is there.")
            continue
        print(f"Making {FOLDER / name}: {', '.join(PACKAGES[name])}")
        venv.create(FOLDER / name, with_pip=True, clear=True)
        if subprocess.run(command(name, flags.FLAGS.pytorch_index)).returncode:
            sys.exit(f"{name} could not be installed.")
        (FOLDER / name / "ready").touch()


if __name__ == "__main__":
    define_flags()
    app.run(main)
