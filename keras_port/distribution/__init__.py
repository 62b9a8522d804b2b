"""Many devices, on one machine and on several."""

from keras_port.distribution.build_towers import build_towers
from keras_port.distribution.mirrored_strategy import mirrored_strategy
from keras_port.distribution.multi_worker_strategy import multi_worker_strategy
from keras_port.distribution.tower_model import TowerModel

__all__ = [
    "TowerModel",
    "build_towers",
    "mirrored_strategy",
    "multi_worker_strategy",
]
