"""The page that a digit is drawn on computes what the model computes."""

import base64
from collections.abc import Iterator
from pathlib import Path
import time
from typing import Any

import keras
import numpy as np
import pytest

from keras_port import datasets
from keras_port import layers
from keras_port import models
from keras_port.inspection import write_drawing_page
from keras_port.inspection.drawing_page import drawing_page
from tests.chromium import needs_chromium
from tests.chromium import open_chromium
from tests.chromium import save_screenshot
from tests.inspection.html_page import Page
from tests.inspection.html_page import check_loads_nothing
from tests.inspection.html_page import check_writes_no_markup

# The page holds weights of 16 bits. Of a CNN with a test accuracy of 0.989 the
# probabilities of 1,000 images were 5e-5 off at most.
TOLERANCE = 1e-3

PREDICT = """
const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
const answers = [];
for (let at = 0; at < bytes.length; at += 784)
  answers.push(digitPage.predict(bytes.subarray(at, at + 784)));
return answers;
"""


def train(model: keras.Model, mnist: datasets.Splits, steps: int) -> None:
    """Trains for so few steps that it takes a second or two."""
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(
        datasets.shuffled_batches(mnist.train, 50, seed=1),
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
    )


@pytest.fixture(scope="module")
def cnn(mnist: datasets.Splits) -> keras.Model:
    """Returns the course's CNN after 30 steps: unsure, and so sensitive."""
    keras.utils.set_random_seed(1)
    model = models.build_cnn()
    train(model, mnist, 30)
    return model


@pytest.fixture(scope="module")
def perceptron(mnist: datasets.Splits) -> keras.Model:
    """Returns the course's perceptron after 500 steps."""
    model = models.build_perceptron(classifier_activation=None)
    model.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        datasets.shuffled_batches(mnist.train, 100, seed=1),
        steps_per_epoch=500,
        shuffle=False,
        verbose=0,
    )
    return model


def build_odd() -> keras.Model:
    """Returns stock layers with settings that the course does not use."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(3, (3, 6), 2, "same", activation="tanh"),
            keras.layers.MaxPooling2D(3, 2, "same"),
            keras.layers.Conv2D(5, 2, use_bias=False, activation="sigmoid"),
            keras.layers.MaxPooling2D((2, 3), (1, 2)),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(40),
            keras.layers.ReLU(),
            keras.layers.Dense(4, bias_initializer="normal"),
            keras.layers.Softmax(),
        ],
        name="odd",
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yields a headless chromium."""
    profile = tmp_path_factory.mktemp("chromium")
    with open_chromium(profile, size=(1280, 900)) as driver:
        yield driver


def show(browser: Any, model: keras.Model, folder: Path) -> None:
    """Opens the page of a model."""
    page = write_drawing_page(model, folder / "draw.html")
    browser.get(page.as_uri())


def predict(browser: Any, images: np.ndarray) -> np.ndarray:
    """Returns the probabilities by the page's own function."""
    answers: list[list[float]] = []
    for part in range(0, len(images), 100):
        text = base64.b64encode(images[part : part + 100].tobytes()).decode()
        answers += browser.execute_script(PREDICT, text)
    return np.asarray(answers)


def check_predictions(
    browser: Any, model: keras.Model, images: np.ndarray, folder: Path
) -> None:
    """Compares the page with the model, and prints the time of an answer."""
    show(browser, model, folder)
    began = time.perf_counter()
    found = predict(browser, images)
    each = (time.perf_counter() - began) / len(images)
    batch = images.reshape((-1, *model.input_shape[1:]))
    if not isinstance(model, models.ImageModel):
        batch = datasets.scale_pixels(batch)
    expected = model.predict(batch, verbose=0)
    if not np.allclose(expected.sum(axis=1), 1):  # Logits.
        expected = np.asarray(keras.ops.softmax(expected))
    off = np.abs(found - expected).max()
    print(f"{model.name}: {each * 1000:.1f} ms an answer, {off:.1e} off")
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


@needs_chromium
@pytest.mark.parametrize("name", ["cnn", "perceptron"])
def test_the_page_computes_what_the_model_computes(
    name: str,
    request: pytest.FixtureRequest,
    browser: Any,
    mnist: datasets.Splits,
    tmp_path: Path,
) -> None:
    model = request.getfixturevalue(name)
    check_predictions(browser, model, mnist.test.images[:100], tmp_path)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn", "perceptron"])
def test_the_page_computes_1000_images(
    name: str,
    request: pytest.FixtureRequest,
    browser: Any,
    mnist: datasets.Splits,
    tmp_path: Path,
) -> None:
    model = request.getfixturevalue(name)
    if name == "cnn":
        train(model, mnist, 400)
    check_predictions(browser, model, mnist.test.images[:1000], tmp_path)


@needs_chromium
def test_other_layers_and_their_outputs(
    browser: Any, mnist: datasets.Splits, tmp_path: Path
) -> None:
    model = build_odd()
    check_predictions(browser, model, mnist.test.images[:20], tmp_path)
    image = mnist.test.images[0]
    found = browser.execute_script(
        "return digitPage.run(arguments[0]).map((v) => Array.from(v))",
        image.reshape(-1).tolist(),
    )
    inner = keras.Model(
        model.inputs[0],
        [
            layer.output
            for layer in model.layers
            if not isinstance(layer, keras.layers.Dropout)
        ],
    )
    values = inner(datasets.scale_pixels(image.reshape(1, 28, 28, 1)))
    for mine, theirs in zip(found, values, strict=True):
        expected = np.asarray(theirs).reshape(-1)
        np.testing.assert_allclose(mine, expected, atol=TOLERANCE)


@needs_chromium
def test_the_page_centers_as_the_package(
    browser: Any,
    perceptron: keras.Model,
    mnist: datasets.Splits,
    tmp_path: Path,
) -> None:
    show(browser, perceptron, tmp_path)
    generator = np.random.default_rng(3)
    pictures = [
        *mnist.test.images[:20].reshape(-1, 28, 28),
        *(
            np.pad(i, ((3, 40), (60, 2)))
            for i in mnist.test.images[:5].reshape(-1, 28, 28)
        ),
        *(generator.random(shape) for shape in ((1, 9), (90, 31), (20, 7))),
        np.pad(np.ones((200, 30)), 40),
    ]
    for picture in pictures:
        found = browser.execute_script(
            "return Array.from(digitPage.center(...arguments))",
            picture.reshape(-1).tolist(),
            picture.shape[1],
            picture.shape[0],
        )
        expected = datasets.center_digit(picture).astype(int).reshape(-1)
        # Sums in another order can round to the next of 256 levels.
        np.testing.assert_allclose(found, expected, atol=1)
    nothing = "return digitPage.center([0, 0], 2, 1)"
    assert browser.execute_script(nothing) is None


# Strokes in parts of the pad.
ONE = [[(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)]]
ANGLES = np.linspace(0, 2 * np.pi, 17)
ZERO = [[(0.5 + 0.2 * np.sin(a), 0.5 - 0.3 * np.cos(a)) for a in ANGLES]]


def draw(browser: Any, strokes: list[Any], kind: str) -> None:
    """Draws with a mouse, or with a finger, by true events of a pointer."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    pad = browser.find_element("id", "pad")
    # Actions count from the middle of the pad.
    width, height = pad.size["width"], pad.size["height"]
    pointer = PointerInput(kind, kind)
    chain = ActionChains(browser, duration=5, devices=[pointer])
    actions = chain.w3c_actions.pointer_action
    for points in strokes:
        for number, (x, y) in enumerate(points):
            actions.move_to(
                pad, int((x - 0.5) * width), int((y - 0.5) * height)
            )
            if number == 0:
                actions.pointer_down()
        actions.pointer_up()
    chain.perform()


def wait_for(browser: Any, text: str) -> str:
    """Returns what the page says, once it contains a text."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        said = browser.find_element("id", "spoken").text
        if text in said:
            return str(said)
        time.sleep(0.05)
    return str(said)


@needs_chromium
@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_a_drawn_digit_is_read(
    kind: str, browser: Any, perceptron: keras.Model, tmp_path: Path
) -> None:
    show(browser, perceptron, tmp_path)
    assert "Nothing is drawn" in wait_for(browser, "Nothing")
    draw(browser, ONE, kind)
    assert wait_for(browser, "1, ").startswith("1, with ")
    assert browser.find_element("id", "answer").text == "1"
    (best,) = browser.find_elements("css selector", ".bar.best")
    assert best.text.split()[0] == "1"
    save_screenshot(browser, f"draw_{kind}")
    browser.find_element("id", "clear").click()
    assert "Nothing is drawn" in wait_for(browser, "Nothing")
    draw(browser, ZERO, kind)
    assert wait_for(browser, "0, ").startswith("0, with ")
    draw(browser, [[(0.05, 0.05), (0.06, 0.95)]], kind)
    time.sleep(0.3)
    browser.find_element("id", "undo").click()
    assert wait_for(browser, "0, ").startswith("0, with ")
    assert not browser.get_log("browser")


@needs_chromium
def test_the_page_fits_a_phone(
    browser: Any, cnn: keras.Model, tmp_path: Path
) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        show(browser, cnn, tmp_path)
        draw(browser, ZERO, "touch")
        assert ", with " in wait_for(browser, ", with ")
        # A finger that draws has not moved the page.
        assert browser.execute_script("return scrollY") == 0
        width = "return document.documentElement.scrollWidth"
        assert browser.execute_script(width) == 390
        bottom = (
            "return document.getElementById('bars')"
            ".getBoundingClientRect().bottom"
        )
        assert browser.execute_script(bottom) <= 844
        figures = browser.find_elements("css selector", "figcaption b")
        assert [f.text for f in figures] == [
            *("conv1", "pool1", "conv2", "pool2", "fc1", "fc2"),
        ]
        save_screenshot(browser, "draw_phone")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_of_the_cnn_is_one_file_under_10_mb(tmp_path: Path) -> None:
    path = write_drawing_page(models.build_cnn(), str(tmp_path / "draw.html"))
    assert path == tmp_path / "draw.html"
    assert path.stat().st_size < 10_000_000
    page = path.read_text("utf-8")
    check_loads_nothing(page)
    check_writes_no_markup(page)


def test_names_cannot_end_the_script_or_begin_a_tag() -> None:
    usual = models.build_perceptron()
    evil = models.build_perceptron(name="<script>alert(1)<!--&amp;")
    tags = [Page(drawing_page(model)).tags for model in (usual, evil)]
    assert tags[0] == tags[1]


@pytest.mark.parametrize("shape", [(784,), (28, 28), (28, 28, 1)])
def test_all_shapes_of_images_and_stock_models_have_a_page(
    shape: tuple[int, ...],
) -> None:
    model = models.build_cnn(input_shape=shape, classifier_activation=None)
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    loaded = keras.models.clone_model(model)
    loaded.set_weights(model.get_weights())
    page = drawing_page(model)
    assert drawing_page(loaded) == page
    assert drawing_page(models.to_stock(model)) == page


def branched() -> keras.Model:
    inputs = keras.Input((784,))
    left, right = (keras.layers.Dense(10)(inputs) for _ in range(2))
    return keras.Model(inputs, keras.layers.Add()([left, right]))


def with_layers(*stack: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((28, 28, 1)), *stack])


def quantized() -> keras.Model:
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    model.layers[-1].quantize("int8")
    return model


def with_an_operation() -> keras.Model:
    inputs = keras.Input((784,))
    return keras.Model(inputs, keras.layers.Dense(10)(inputs) * 2)


def with_nan() -> keras.Model:
    model = models.build_perceptron()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    return model


class Subclass(keras.Model):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return inputs


FLAT = keras.layers.Flatten
REFUSED: dict[str, tuple[Any, str]] = {
    "a subclass": (Subclass, "functional or sequential"),
    "not built": (lambda: keras.Sequential([FLAT()]), "that is built"),
    "another input": (
        lambda: keras.Sequential([keras.Input((32,)), keras.layers.Dense(2)]),
        r"784 pixels.*Received: shape \(None, 32\)",
    ),
    "branches": (branched, "must be a chain"),
    "an operation": (with_an_operation, "cannot compute the layer 'multiply"),
    "no classes": (
        lambda: with_layers(keras.layers.Conv2D(2, 3)),
        "one output of shape",
    ),
    "an unknown layer": (
        lambda: with_layers(
            keras.layers.BatchNormalization(name="norm"),
            FLAT(),
            keras.layers.Dense(10),
        ),
        r"cannot compute the layer 'norm' \(BatchNormalization\)",
    ),
    "a subclass of a layer": (
        lambda: with_layers(FLAT(), type("D", (keras.layers.Dense,), {})(10)),
        r"\(D\)",
    ),
    "holes": (
        lambda: with_layers(
            keras.layers.Conv2D(2, 3, dilation_rate=2, name="holes"), FLAT()
        ),
        "'holes'.*dilation",
    ),
    "channels first": (
        lambda: with_layers(
            keras.layers.Flatten(data_format="channels_first", name="flat")
        ),
        "'flat' has data_format='channels_first'",
    ),
    "a dense layer per pixel": (
        lambda: with_layers(keras.layers.Dense(2, name="each"), FLAT()),
        "'each'.*Dense after",
    ),
    "an unknown activation": (
        lambda: with_layers(
            FLAT(), keras.layers.Dense(10, activation="elu", name="elu")
        ),
        "the activation of the layer 'elu'. It knows linear, relu",
    ),
    "a softmax per pixel": (
        lambda: with_layers(keras.layers.Activation("softmax"), FLAT()),
        "over the classes only",
    ),
    "outputs that are no probabilities": (
        lambda: with_layers(FLAT(), keras.layers.Dense(10, activation="tanh")),
        "ends with 'tanh'",
    ),
    "a leaky relu": (
        lambda: with_layers(
            keras.layers.ReLU(negative_slope=0.1, name="leaky"), FLAT()
        ),
        "'leaky'",
    ),
    "int8": (quantized, "is quantized"),
    "NaN": (with_nan, "must be finite"),
    "nothing to compute": (
        lambda: keras.Sequential(
            [keras.Input((784,)), layers.PixelRangeCheck()]
        ),
        "has no layer to compute",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_the_page_cannot_compute_is_refused(
    name: str, tmp_path: Path
) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        write_drawing_page(build(), tmp_path / "draw.html")
    assert not list(tmp_path.iterdir())


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    model = models.build_perceptron()
    with pytest.raises(ValueError, match="gs://"):
        write_drawing_page(model, "gs://bucket/draw.html")
    with pytest.raises(FileNotFoundError):
        write_drawing_page(model, tmp_path / "none" / "draw.html")
