"""What the commands of `python -m keras_port.tf1` do."""

import argparse
import pathlib
import warnings

import keras

from keras_port.checkpoints.atomic_file import atomic_file
from keras_port.losses import CourseCrossEntropy
from keras_port.models import build_cnn
from keras_port.models import build_perceptron
from keras_port.optimizers import Adam
from keras_port.tf1.checkpoint.loading import load_checkpoint
from keras_port.tf1.checkpoint.saving import save_checkpoint
from keras_port.tf1.checkpoint.slots import build_optimizer
from keras_port.tf1.checkpoint.slots import has_optimizer
from keras_port.tf1.checkpoint.variables import list_variables


def run_list(options: argparse.Namespace) -> str:
    """Returns what a checkpoint holds."""
    variables = list_variables(options.checkpoint)
    return "\n".join(map(str, variables))


def run_to_keras(options: argparse.Namespace) -> str:
    """Writes a `.keras` file and returns the report."""
    model = named_model(options.model)
    report = load_checkpoint(
        model,
        options.checkpoint,
        names=dict(options.map) if options.map else None,
        match=options.match,
        optimizer=not options.weights_only,
        step=options.step,
        strict=not options.partial,
    )
    if has_optimizer(model):
        # A file without slots loads with a warning about what it has not.
        build_optimizer(model)
    with atomic_file(options.output) as partial:
        model.save(partial)
    return f"{report}\nwritten: {options.output}"


def run_to_tf1(options: argparse.Namespace) -> str:
    """Writes a checkpoint and returns its names."""
    export = save_checkpoint(
        loaded_model(options.model),
        options.checkpoint,
        names=dict(options.map) if options.map else options.names,
        optimizer=not options.weights_only,
        forward=not options.variables_only,
    )
    return str(export)


def named_model(name: str) -> keras.Model:
    """Returns one of the course's models, compiled, or one from a file."""
    if name == "perceptron":
        model = build_perceptron()
        model.compile(keras.optimizers.SGD(0.01), CourseCrossEntropy())
        return model
    if name == "cnn":
        model = build_cnn()
        model.compile(Adam(1e-4), CourseCrossEntropy("sum"))
        return model
    if not name.endswith(".keras"):
        raise ValueError(
            "`--model` must be perceptron, cnn or a .keras file. "
            f"Received: {name}"
        )
    return loaded_model(name)


def loaded_model(name: str | pathlib.Path) -> keras.Model:
    """Returns the model of a `.keras` file."""
    with warnings.catch_warnings():
        # A model that has never been trained was saved without slots.
        warnings.filterwarnings("ignore", "Skipping variable loading for opt")
        return keras.saving.load_model(name)
