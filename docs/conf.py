"""Builds the site of the documentation with Sphinx and MyST-NB.

    sphinx-build -W --keep-going docs build/docs

The lessons are executed as notebooks (`notebooks.py`). The reference of the API
is made from the docstrings. Everything that is written in `docs/` on the way,
`docs/api/`, is ignored by git.
"""

import os
from pathlib import Path
import re
import sys
from typing import Any

# The kernel of the lessons inherits these. They must be there before TensorFlow
# is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(DOCS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)

import notebooks  # noqa: E402 (after the path is set)
from sphinx.application import Sphinx  # noqa: E402

import keras_port  # noqa: E402

REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "")
BUILD = DOCS.parent / "build"

project = "keras_port"
author = "The keras_port authors"
version = release = keras_port.__version__
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
root_doc = "index"
# The reports are for the makers of Keras and TensorFlow; they have a page each
# on GitHub.
exclude_patterns = ["upstream/*"]

html_theme = "furo"
html_title = f"keras_port {release}"
html_static_path = ["site"]
html_css_files = ["site.css"]
DOWNLOADS = BUILD / "notebooks_for_docs"
DOWNLOADS.mkdir(parents=True, exist_ok=True)  # Sphinx looks for it at once.
html_extra_path = [str(DOWNLOADS)]
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
if REPOSITORY:
    html_theme_options |= {
        "source_repository": f"https://github.com/{REPOSITORY}/",
        "source_branch": "main",
        "source_directory": "docs/",
    }

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(BUILD / "docs_cache")
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Call arguments", "params_style")]
default_role = "code"
copybutton_exclude = ".linenos, .gp, .go"

PUBLIC = {
    name: f"keras_port.{folder}.{name}"
    for folder in keras_port.__all__
    for name in getattr(keras_port, folder).__all__
}


def write_generated(app: Sphinx) -> None:
    """Writes the notebooks for download and the pages of the API."""
    notebooks.write(DOWNLOADS / "notebooks")
    api = DOCS / "api"
    api.mkdir(exist_ok=True)
    for folder in keras_port.__all__:
        update(api / f"{folder}.rst", api_page(folder))
    entries = "".join(f"   {folder}\n" for folder in keras_port.__all__)
    update(
        api / "index.rst",
        "API reference\n=============\n\n.. toctree::\n   :maxdepth: 2\n\n"
        + entries,
    )


def api_page(folder: str) -> str:
    """Returns the page of one folder of the package."""
    module = f"keras_port.{folder}"
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", ""]
    for name in getattr(keras_port, folder).__all__:
        value = getattr(getattr(keras_port, folder), name)
        kind = "class" if isinstance(value, type) else "function"
        if not callable(value):
            kind = "data"
        lines += [name, "-" * len(name), ""]
        lines += [f".. auto{kind}:: {module}.{name}"]
        if kind == "class":
            lines += ["   :members:", "   :show-inheritance:"]
        lines += [""]
    return "\n".join(lines)


def update(path: Path, text: str) -> None:
    """Writes a file unless it has the text; Sphinx reads what is newer."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Makes a page of GitHub a page of the site."""
    page = DOCS / f"{docname}.md"
    if not page.exists():
        return
    text = content[0]
    if docname == "index":
        readme = (DOCS.parent / "README.md").read_text()
        readme = re.sub(r"\]\(docs/", "](", readme).replace("](../", "](")
        readme = readme.replace("]()", "](README.md)")
        text = text.replace("<!-- README.md -->", follow(readme, DOCS.parent))
    elif docname in notebooks.NOTEBOOKS:
        text = lesson(page)
    else:
        text = follow(text, DOCS)
    # The first word of the line after ``` is the language. The captions keep
    # the two versions apart.
    content[0] = re.sub(
        r"^```python tf1$",
        "```{code-block} python\n:caption: TensorFlow 1\n:class: tf1\n",
        text,
        flags=re.M,
    )


def lesson(page: Path) -> str:
    """Returns a lesson as a notebook of MyST, with a link to download it."""
    parts = [
        "---\nfile_format: mystnb\nkernelspec:\n  name: python3\n"
        "  display_name: Python 3\n---"
    ]
    for kind, text in notebooks.cells(page):
        if kind == "code":
            parts.append(f"```{{code-cell}} python\n{text}\n```")
        else:
            parts.append(follow(text, DOCS))
    name = notebooks.NOTEBOOKS[page.stem]
    title, _, rest = parts[1].partition("\n")
    parts[1] = (
        f'{title}\n\n<p class="download"><a href="notebooks/{name}.ipynb" '
        f"download>Download this page as a notebook</a></p>\n{rest}"
    )
    return "\n\n".join(parts) + "\n"


def follow(text: str, directory: Path) -> str:
    """Makes links to files that are no pages links to GitHub, or plain text."""

    def replace(match: re.Match[str]) -> str:
        picture, label, target = match.groups()
        path = (DOCS / target.partition("#")[0]).resolve()
        if picture or not path.is_relative_to(DOCS) or not path.exists():
            if picture:
                return match[0]
            path = (directory / target.partition("#")[0]).resolve()
        elif not path.is_relative_to(DOCS / "upstream"):
            return match[0]
        if not REPOSITORY:
            return label
        inside = path.relative_to(DOCS.parent).as_posix()
        return f"[{label}](https://github.com/{REPOSITORY}/blob/main/{inside})"

    return notebooks.LINK.sub(replace, text)


def link_names(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    lines: list[str],
) -> None:
    """Makes a public name in backticks a link to its place."""
    if what == "module":
        # What follows is about the files, for who changes them.
        del lines[lines.index("") :]

    def link(match: re.Match[str]) -> str:
        target = PUBLIC.get(match[1])
        if target is None or target == name:
            return f"``{match[1]}``"
        return f":py:obj:`{match[1]} <{target}>`"

    # Docstrings have single backticks, as Markdown. Their text may have
    # asterisks and backslashes, which only literals of two backticks allow.
    joined = re.sub(r"(?<!`)`([^`]+)`(?!`)", link, "\n".join(lines))
    # `(batch, *input_shape)` is no emphasis.
    joined = re.sub(r"(?<=, )\*(?=\w+\))", r"\\*", joined)
    lines[:] = joined.split("\n")


def setup(app: Sphinx) -> None:
    """Connects the functions above to the build."""
    app.connect("builder-inited", write_generated)
    app.connect("source-read", read_source)
    # Before napoleon, which turns sections into RST.
    app.connect("autodoc-process-docstring", link_names, priority=100)
