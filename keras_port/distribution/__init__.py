"""Many devices, on one machine and on several."""

from keras_port.distribution.mirrored import mirrored
from keras_port.distribution.multi_worker import multi_worker
from keras_port.distribution.tower_model import TowerModel
from keras_port.distribution.towers import towers

__all__ = ["TowerModel", "mirrored", "multi_worker", "towers"]
