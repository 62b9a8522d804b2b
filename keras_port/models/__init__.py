"""The course's two models, and a way to leave this package."""

from keras_port.models.cnn import build_cnn
from keras_port.models.image_model import ImageModel
from keras_port.models.perceptron import build_perceptron
from keras_port.models.to_stock import to_stock

__all__ = ["ImageModel", "build_cnn", "build_perceptron", "to_stock"]
