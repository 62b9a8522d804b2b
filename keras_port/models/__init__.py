"""The course's two models."""

from keras_port.models.cnn import build_cnn
from keras_port.models.image_model import ImageModel
from keras_port.models.perceptron import build_perceptron

__all__ = ["ImageModel", "build_cnn", "build_perceptron"]
