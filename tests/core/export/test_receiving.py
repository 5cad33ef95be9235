"""The preprocessing in a graph gives the very pixels that the program gives."""

import io

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

from core.data.pictures.picture import open_picture
from core.data.pictures.preprocess import Preprocess
from core.export.graph import Graph
from core.export.receiving import receive
from core.settings import Limits

ANY = Limits(picture_bytes=10**9, picture_min_side=1, picture_aspect=10_000)
SIZES = [(16, 16), (16, 33), (300, 20), (20, 300), (1, 40), (40, 1), (97, 45), (1024, 512), (700, 699)]
LARGE = [(1025, 1024), (1300, 2049), (2200, 1100), (3000, 1111)]  # reduced first, with squares that are cut at the edge


def session_of(preprocess: Preprocess) -> onnxruntime.InferenceSession:
    graph = Graph()
    pixels = receive(graph, graph.input("image"), preprocess)
    graph.call("Identity", pixels.cast("uint8"), name="received")
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["height", "width", 3])
    model = graph.model(
        "test", [image], [helper.make_tensor_value_info("received", TensorProto.UINT8, [3, None, None])]
    )
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString())


def differences(preprocess: Preprocess, sizes: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """(height, width) -> pixels that differ, of pictures of noise; only those with any."""
    session, random, found = session_of(preprocess), np.random.default_rng(0), {}
    for height, width in sizes:
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "BMP")
        expected = preprocess.receive(open_picture(file.getvalue(), ANY, preprocess))
        (got,) = session.run(None, {"image": pixels})
        assert got.shape == expected.shape
        if count := int((got != expected).sum()):
            found[height, width] = count
    return found


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("image_size", [10, 33, 224])
def test_every_pixel_is_that_of_pillow(fit, image_size):
    assert differences(Preprocess(image_size=image_size, fit=fit), SIZES) == {}


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_large_picture_is_reduced_first_as_reading_does_it(fit):
    assert differences(Preprocess(image_size=64, fit=fit), LARGE) == {}


def test_a_large_picture_for_a_large_network_is_not_reduced():
    assert differences(Preprocess(image_size=512), [(1030, 1025)]) == {}  # 1025 // 1024 is no reduction


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("count", [25, pytest.param(100, marks=pytest.mark.nightly)])
def test_every_pixel_of_many_sizes(fit, count):
    random = np.random.default_rng(1)
    sizes = [(int(height), int(width)) for height, width in random.integers(8, 1400, (count, 2))]
    assert differences(Preprocess(image_size=32, fit=fit), sizes) == {}
