"""Draws the picture of README.md: a digit in the network, and an early stop.

    python docs/front_picture.py docs/images/front.png

Trains the CNN for 300 steps and a perceptron on 200 images, about a minute.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_port import callbacks
from keras_port import datasets
from keras_port import losses
from keras_port import models
from keras_port import optimizers

LAYERS = ("conv1", "pool1", "conv2", "pool2")


def compute_feature_maps(
    splits: datasets.Splits,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns a digit and what the layers of a trained CNN make of it."""
    keras.utils.set_random_seed(1)
    model = models.build_cnn()
    model.compile(
        optimizers.Adam(1e-3),
        losses.CourseCrossEntropy("sum"),
        metrics=["accuracy"],
    )
    batches = datasets.shuffled_batches(splits.train, 100, seed=1)
    model.fit(batches, steps_per_epoch=300, verbose=0)
    inner = keras.Model(
        model.input, [model.get_layer(name).output for name in LAYERS]
    )
    digit = splits.test.images[0]
    values = [
        *inner(datasets.scale_pixels(digit.reshape(1, 784))),
        model(digit.reshape(1, 784)),
    ]
    return digit, [np.asarray(value)[0] for value in values]


def train_until_early_stop(
    splits: datasets.Splits,
) -> tuple[dict[str, list[float]], callbacks.StepEarlyStopping]:
    """Returns the curves of a training on few images, and its early stop."""
    few = splits.train[:200]
    stop = callbacks.StepEarlyStopping(monitor="val_loss", patience=20)
    model = models.build_perceptron()
    model.compile(keras.optimizers.Adam(0.02), losses.CourseCrossEntropy("sum"))
    history = model.fit(
        datasets.shuffled_batches(few, 50, seed=1),
        steps_per_epoch=1000,
        callbacks=[
            callbacks.StepEvaluation(splits.validation[:1000], eval_freq=5),
            callbacks.StepEvaluation(few, eval_freq=5, prefix="train"),
            stop,
        ],
        verbose=0,
    )
    return history.history, stop


def draw(path: str) -> None:
    """Draws the picture and writes it to a file."""
    splits = datasets.load_mnist()
    digit, (*maps, scores) = compute_feature_maps(splits)
    curves, stop = train_until_early_stop(splits)

    figure = plt.figure(figsize=(12, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[3, 2])
    axes = left.subplot_mosaic(
        [
            ["digit", *(f"{name}{row}" for name in LAYERS), "scores"]
            for row in range(3)
        ],
        width_ratios=[3, 1, 1, 1, 1, 3],
    )
    axes["digit"].imshow(digit, cmap="gray_r")
    axes["digit"].set_title("28 x 28")
    for name, values in zip(LAYERS, maps, strict=True):
        # The channels in which most happens.
        chosen = np.argsort(-values.std(axis=(0, 1)))[:3]
        axes[f"{name}0"].set_title(name)
        for row, channel in enumerate(chosen):
            axes[f"{name}{row}"].imshow(values[:, :, channel], cmap="gray_r")
    for name, axis in axes.items():
        if name != "scores":
            axis.set(xticks=[], yticks=[])
    axes["scores"].barh(range(10), scores)
    axes["scores"].set(title="softmax", yticks=range(10), xlim=(0, 1))
    axes["scores"].invert_yaxis()

    axis = right.subplots()
    axis.plot(curves["train_step"], curves["train_loss"], label="training")
    axis.plot(curves["val_step"], curves["val_loss"], label="validation")
    axis.axvline(stop.best_step, color="green", label="best weights, restored")
    axis.axvline(
        stop.stopped_step, color="red", linestyle="dashed", label="early stop"
    )
    axis.set(xlabel="step", title="loss", ylim=(0, max(curves["val_loss"])))
    axis.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    draw(sys.argv[1])
