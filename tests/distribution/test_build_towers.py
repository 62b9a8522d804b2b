"""Lesson 4's towers, in the graph and on the devices."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import distribution
from keras_port import inspection
from keras_port import losses
from keras_port import models
from tests.distribution.networks import build_small_cnn
from tests.distribution.networks import compiled
from tests.distribution.networks import data_for


def test_the_scopes_of_the_towers_are_in_the_graph() -> None:
    model = distribution.build_towers(build_small_cnn, num_devices=2)
    names = [op.name for op in inspection.graph(model).operations]
    for tower in ("tower_0", "tower_1"):
        own = [name for name in names if name.startswith(f"{tower}/")]
        assert any("conv2d" in name for name in own), names


def test_each_tower_computes_on_its_device_and_the_cpu_updates() -> None:
    model = compiled(models.build_perceptron, "towers", 2)
    x, y = data_for(model)
    step = tf.function(model.train_step).get_concrete_function((x[:4], y[:4]))
    nodes = [
        node
        for node in step.graph.as_graph_def().node
        if node.op in ("MatMul", "ResourceApplyAdam")
    ]
    found = {
        (node.op, tf.DeviceSpec.from_string(node.device).device_index)
        for node in nodes
    }
    assert found == {
        ("MatMul", 0),
        ("MatMul", 1),
        ("ResourceApplyAdam", 0),
    }


def test_outputs_are_those_of_the_plain_model() -> None:
    model = compiled(build_small_cnn, "towers", 2)
    plain = compiled(build_small_cnn, "plain", 1)
    x, _ = data_for(model)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), plain.predict(x, verbose=0), atol=1e-6
    )
    assert model(x[:1]).shape == (1, 10)


def test_a_saved_model_has_the_towers_of_its_machine(tmp_path: Path) -> None:
    model = compiled(models.build_perceptron, "towers", 2)
    x, y = data_for(model)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, distribution.TowerModel)
    assert loaded.devices == distribution.build_towers(build_small_cnn).devices
    assert np.array_equal(loaded(x), model(x))


def test_more_towers_than_devices_are_refused() -> None:
    with pytest.raises(RuntimeError, match="uses the CPU as 4 already"):
        distribution.build_towers(models.build_perceptron, num_devices=5)


def test_weights_elsewhere_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build_perceptron()
    device = property(lambda _: "/device:GPU:0")
    monkeypatch.setattr(type(model.variables[0].value), "device", device)
    with pytest.raises(ValueError, match=r"fc/kernel is on /device:GPU:0"):
        distribution.TowerModel(model.input, model.output, num_devices=2)


def test_the_loss_of_a_saturated_output_is_right() -> None:
    model = compiled(
        models.build_perceptron,
        "towers",
        2,
        loss=losses.CourseCrossEntropy("sum"),
    )
    model.set_weights([np.eye(784, 10) * 1e4, np.zeros(10)])
    image = np.zeros((2, 784), "float32")
    image[:, 0] = 1
    (loss, _) = model.evaluate(image, np.array([1, 1]), verbose=0)
    assert loss == pytest.approx(1e4, rel=1e-6)
