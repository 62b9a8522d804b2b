"""The kinds of data that an evaluation takes, and those it refuses."""

from collections.abc import Callable
from collections.abc import Iterator
import threading
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_port import training
from keras_port.callbacks import StepEvaluation
from keras_port.training import Evaluator
from tests.small import small_arrays
from tests.small import small_model
from tests.small import train

COUNT = 23  # The last batch is smaller.


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of arrays, with a record of who read which."""

    def __init__(
        self,
        *arrays: Any,
        size: int = 5,
        length: int | None = -1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.arrays, self.size, self.length = arrays, size, length
        self.reads: list[tuple[int, str]] = []
        self.ends = 0

    @property
    def num_batches(self) -> int | None:
        if self.length != -1:
            return self.length
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, index: int) -> Any:
        assert index >= 0
        self.reads.append((index, threading.current_thread().name))
        part = slice(index * self.size, (index + 1) * self.size)
        return tuple(array[part] for array in self.arrays)

    def on_epoch_end(self) -> None:
        self.ends += 1


def weights() -> np.ndarray:
    return np.random.default_rng(2).random(COUNT).astype("float32")


# A PyDataset


@pytest.mark.fault("C67")
@pytest.mark.parametrize("size", [1, 5, 23, 100])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_the_results_of_a_py_dataset_are_those_of_its_arrays(
    size: int, is_weighted: bool
) -> None:
    arrays = small_arrays(COUNT)
    if is_weighted:
        arrays = (*arrays, weights())
    model = small_model(weighted_metrics=["accuracy"])
    found = Evaluator(model, Batches(*arrays, size=size)).evaluate()
    expected = Evaluator(model, arrays).evaluate()
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.fault("C67")
@pytest.mark.parametrize("base", [keras.Model, training.GradientModel])
@pytest.mark.parametrize(
    "options", [{}, {"workers": 2}, {"workers": 2, "max_queue_size": 2}]
)
def test_fit_evaluates_on_a_py_dataset_as_it_validates(
    base: type[keras.Model], options: dict[str, Any]
) -> None:
    arrays = small_arrays(COUNT)

    def run(**kwargs: Any) -> Any:
        keras.utils.set_random_seed(3)
        inputs = keras.Input((4,))
        layer = keras.layers.Dense(3, activation="softmax")
        model = base(inputs, layer(inputs))
        model.compile(
            "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        return model.fit(
            *small_arrays(40), batch_size=8, shuffle=False, verbose=0, **kwargs
        ).history

    data = Batches(*arrays, **options)
    found = run(callbacks=[StepEvaluation(data, eval_freq=5)])
    expected = run(validation_data=Batches(*arrays))
    for name in ("val_loss", "val_accuracy"):
        assert found[name] == pytest.approx(expected[name], rel=1e-6)


@pytest.mark.fault("C67")
def test_every_evaluation_reads_every_batch_of_a_py_dataset() -> None:
    data = Batches(*small_arrays(COUNT))
    evaluator = Evaluator(small_model(), data)
    first = evaluator.evaluate()
    data.reads.clear()
    assert evaluator.evaluate() == first
    assert sorted(index for index, _ in data.reads) == [0, 1, 2, 3, 4]


@pytest.mark.fault("C67")
def test_inputs_of_a_py_dataset_may_be_named() -> None:
    x, y = small_arrays(COUNT)
    inputs = {
        "a": keras.Input((2,), name="a"),
        "b": keras.Input((2,), name="b"),
    }
    joined = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    outputs = keras.layers.Dense(3, activation="softmax")(joined)
    model = training.GradientModel(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")

    class Named(Batches):
        def __getitem__(self, index: int) -> Any:
            images, labels = super().__getitem__(index)
            return {"a": images[:, :2], "b": images[:, 2:]}, labels

    named = {"a": x[:, :2], "b": x[:, 2:]}
    found = Evaluator(model, Named(x, y)).evaluate()
    assert found == pytest.approx(
        Evaluator(model, (named, y)).evaluate(), rel=1e-6
    )


@pytest.mark.fault("C67")
@pytest.mark.parametrize("length", [None, 0])
def test_a_py_dataset_without_an_end_or_a_batch_is_refused(
    length: int | None,
) -> None:
    data = Batches(*small_arrays(COUNT), length=length)
    with pytest.raises(ValueError, match=f"finite.*num_batches={length}"):
        Evaluator(small_model(), data)


@pytest.mark.fault("C67")
def test_an_error_of_a_py_dataset_is_its_own() -> None:
    class Broken(Batches):
        def __getitem__(self, index: int) -> Any:
            raise KeyError("no such file")

    with pytest.raises(KeyError, match="no such file"):
        train(
            small_model(),
            [StepEvaluation(Broken(*small_arrays(COUNT)), eval_freq=2)],
            steps=2,
        )


# What cannot be read twice


def generate() -> Iterator[Any]:
    yield small_arrays(5)


@pytest.mark.fault("C67")
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (generate, "generator"),
        (lambda: iter([small_arrays(5)]), "list_iterator"),
        (lambda: iter(tf.data.Dataset.range(3)), "OwnedIterator"),
        (lambda: generate, "function"),
        (lambda: None, "NoneType"),
        (lambda: small_arrays(5)[0], "ndarray"),
        (lambda: {"x": 1, "y": 2}, "dict"),
    ],
)
def test_what_cannot_be_read_twice_is_refused(
    make: Callable[[], Any], name: str
) -> None:
    with pytest.raises(
        ValueError, match="`data` must be an ImageSplit"
    ) as caught:
        Evaluator(small_model(), make())
    assert name in str(caught.value)
    assert "PyDataset" in str(caught.value)


@pytest.mark.fault("C67")
def test_a_refused_generator_has_lost_nothing() -> None:
    batches = generate()
    with pytest.raises(ValueError, match="`data`"):
        Evaluator(small_model(), batches)
    assert len(list(batches)) == 1


@pytest.mark.fault("C67")
def test_a_dataset_of_a_generator_is_evaluated() -> None:
    x, y = small_arrays(COUNT)
    dataset = tf.data.Dataset.from_generator(
        lambda: ((x[i : i + 5], y[i : i + 5]) for i in range(0, COUNT, 5)),
        output_signature=(
            tf.TensorSpec((None, 4), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        ),
    )
    model = small_model()
    evaluator = Evaluator(model, dataset)
    expected = Evaluator(model, (x, y)).evaluate()
    for _ in range(2):
        assert evaluator.evaluate() == pytest.approx(expected, rel=1e-6)


# Lists and sparse tensors


def sparse() -> tf.SparseTensor:
    return tf.sparse.from_dense(small_arrays(6)[0])


def ragged() -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(tf.range(6.0), [1, 2, 0, 1, 1, 1])


@pytest.mark.fault("C66")
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: [1, 2, 0, 1, 2, 0], "int"),
        (lambda: [[0.0] * 4] * 6, "float"),
        (sparse, "SparseTensor"),
        (lambda: 3, "int"),
        (lambda: "labels", "str"),
        (lambda: np.float32(1), "float32"),
    ],
)
def test_what_is_no_array_is_named(
    place: int, make: Callable[[], Any], name: str
) -> None:
    arrays = [*small_arrays(6), np.ones(6, "float32")]
    arrays[place] = make()
    with pytest.raises(ValueError, match="arrays or dense tensors") as caught:
        Evaluator(small_model(), tuple(arrays))
    assert f"Received: a {name}" in str(caught.value)
    assert "np.asarray" in str(caught.value)


@pytest.mark.fault("C66")
def test_lists_are_refused_at_the_start_of_a_training() -> None:
    x, y = small_arrays(6)
    evaluation = StepEvaluation((x, y.tolist()), eval_freq=100)
    with pytest.raises(ValueError, match="arrays or dense tensors"):
        train(small_model(), [evaluation], steps=1)


@pytest.mark.fault("C66")
def test_what_is_like_an_array_is_evaluated() -> None:
    x, y = small_arrays(6)
    model = small_model()
    expected = Evaluator(model, (x, y)).evaluate()
    for data in (
        (tf.constant(x), tf.constant(y)),
        (tf.Variable(x), keras.Variable(y, dtype="int64")),
        (x[::-1][::-1], np.ma.masked_array(y)),
    ):
        assert Evaluator(model, data).evaluate() == expected
