"""A heat map lies where the network saw the picture, at the picture's own resolution."""

import numpy as np
import pytest
from PIL import Image

from core.data.pictures.preprocess import Preprocess
from core.inference.heat_map import COLOURS, UNSEEN, colours_of, draw_heat_map, place_map

WIDE, TALL = (80, 40), (30, 90)  # width, height
GREY = 100


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", [WIDE, TALL, (64, 64), (1001, 333)])
def test_a_bright_spot_is_drawn_where_it_was_received(size, fit):
    """White in the middle of the picture is hot in what is received, so the heat comes back to the middle."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    spot = np.s_[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
    pixels[spot] = 255
    received = Preprocess(image_size=32, fit=fit).receive(Image.fromarray(pixels))
    placed, seen = place_map(received[0] / np.float32(255), size, fit)
    assert placed.shape == seen.shape == (height, width)
    assert placed[spot].mean() > 0.7 and placed[: height // 5].mean() < 0.05
    assert seen.all() == (fit != "crop" or width == height)


def test_the_picture_stays_where_there_is_no_heat_and_darkens_where_it_was_not_received():
    original = Image.new("RGB", WIDE, (GREY, GREY, GREY))
    drawn = np.asarray(draw_heat_map(original, np.zeros((32, 32), np.float32), Preprocess(image_size=32)))
    assert drawn.shape == (40, 80, 3)
    assert (drawn[:, 20:60] == GREY).all()  # the middle 40 x 40 is what was received
    assert (drawn[:, :20] == GREY * UNSEEN).all() and (drawn[:, 60:] == GREY * UNSEEN).all()


def test_full_heat_has_the_last_colour_in_the_share_of_the_opacity():
    original = Image.new("RGB", (50, 50), (GREY, GREY, GREY))
    drawn = draw_heat_map(original, np.ones((32, 32), np.float32), Preprocess(image_size=32), opacity=0.5)
    expected = (0.5 * GREY + 0.5 * COLOURS[-1]).round()
    assert (np.asarray(drawn) == expected).all()


def test_lightness_rises_with_the_value():
    colours = colours_of(np.linspace(0, 1, 50)[None])[0]
    assert (np.diff(colours @ (0.299, 0.587, 0.114)) > 0).all()
