"""Writes a page on which you draw a digit and a trained network reads it.

The page is one file. It holds the weights and computes in the browser, so it
needs neither a server nor a network, and works on a phone.
"""

import pathlib
import webbrowser

from absl import flags
import cli

with cli.quiet_imports():
    from keras_port import inspection

PAGE = "draw.html"


def write_page(workdir: pathlib.Path) -> pathlib.Path:
    """Writes the page of the best model of a run, and returns its path.

    Args:
        workdir: Directory of the run.
    """
    model = cli.load_best(workdir)
    page = inspection.write_drawing_page(model, workdir / PAGE)
    print(f"Draw a digit on {page} ({page.stat().st_size / 1e3:,.0f} kB).")
    return page


def define_flags() -> None:
    """Defines the flags of this script."""
    cli.define_model_flag()
    flags.DEFINE_bool("open", True, "Whether to open the page in the browser.")


def main() -> None:
    """Runs the script with the values of the flags."""
    page = write_page(pathlib.Path(flags.FLAGS.workdir))
    if flags.FLAGS.open:
        webbrowser.open(page.resolve().as_uri())


if __name__ == "__main__":
    define_flags()
    cli.run(main)
