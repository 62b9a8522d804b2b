"""Names the files of other kinds that people take for a TensorFlow 1 graph."""

import pathlib

# What a file of a kind starts with, after so many bytes.
STARTS = (
    (0, b"PK", "a `.keras` or another zip file. Use `keras.saving.load_model`"),
    (
        0,
        b"\x89HDF",
        "an HDF5 file. Use `keras.saving.load_model` or `model.load_weights`",
    ),
    (4, b"TFL3", "a LiteRT model. Use an interpreter of LiteRT"),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS to a file that is not here. Get it with "
        "`git lfs pull`",
    ),
    (
        0,
        b"/annex/objects/",
        "a pointer of git-annex to a file that is not here. Get it with "
        "`git annex get`",
    ),
    (0, b"<!DOCTYPE html", "a web page. Download the file itself"),
    (0, b"<html", "a web page. Download the file itself"),
    (
        0,
        b"model_checkpoint_path:",
        "the list of a folder's checkpoints. Give the folder, or one of the "
        "files that it names",
    ),
    (
        0,
        b"node {",
        "a graph as text, without the values of its variables. Give the "
        "`.meta` file that was saved with its checkpoint",
    ),
    (
        0,
        b"saved_model_schema_version:",
        "a SavedModel as text. Write it as `saved_model.pb`: `message = "
        "google.protobuf.text_format.Parse(text, SavedModel())`, and "
        "`message.SerializeToString()`",
    ),
)
# The last bytes of a `.index` file, and of a checkpoint of version 1.
TABLE_END = bytes.fromhex("57fb808b247547db")
SUFFIXES = {
    ".onnx": "an ONNX model. Use an ONNX runtime",
    ".pbtxt": "a graph as text, without the values of its variables. Give the "
    "`.meta` file that was saved with its checkpoint",
}


def explain_other_kind(path: pathlib.Path, content: bytes) -> str:
    """Returns what a file is and what to do, or `""` if it may hold a graph."""
    if not content:
        return "empty. Copy it again."
    for offset, start, kind in STARTS:
        if content.startswith(start, offset):
            return f"{kind}."
    if content.endswith(TABLE_END):
        return (
            "the values of variables alone. Give the `.meta` file that was "
            "saved with them, or load the values into a model with "
            "`keras_port.tf1.load_checkpoint`."
        )
    kind = SUFFIXES.get(path.suffix, "")
    return kind and f"{kind}."
