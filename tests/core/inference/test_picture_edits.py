"""A picture that is changed bit by bit: what is not changed stays exactly, and where an answer turns is told."""

import io
from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from core.data.pictures.picture import open_picture, receive_picture
from core.data.pictures.preprocess import Preprocess
from core.inference.picture_edits import (
    SLIDES,
    UNCHANGED,
    PictureEdit,
    describe_turns,
    neutral_colour,
    receive_edited,
    slide_values,
)
from core.settings import Limits
from tests.pictures import encoded, noise

PREPROCESS = Preprocess(image_size=16, mean=(0.4, 0.5, 0.6))


@pytest.mark.parametrize("size", [(40, 30), (1500, 1200), (17, 300)])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_a_picture_that_is_not_changed_is_what_the_network_received(size, fit):
    preprocess = Preprocess(image_size=16, fit=fit)
    content = encoded(noise(*size), "JPEG")
    picture = open_picture(content, Limits(), preprocess)
    unchanged = receive_edited(picture, UNCHANGED, preprocess)
    assert np.array_equal(unchanged, receive_picture(content, preprocess, Limits()))


@pytest.mark.parametrize("name", SLIDES)
def test_every_slider_changes_something_but_at_the_value_that_it_begins_with(name):
    picture = noise(40, 30)
    images = slide_values(picture, name, UNCHANGED, PREPROCESS)
    assert images.shape == (len(SLIDES[name]), 3, 16, 16) and images.dtype == np.uint8
    start = SLIDES[name].index({one.name: one.default for one in fields(PictureEdit)}[name])
    same = [np.array_equal(image, images[start]) for image in images]
    assert same.index(True) == start and sum(same) == 1


def test_the_covered_square_has_the_neutral_colour_and_nothing_else_changes():
    picture = noise(40, 40)
    covered = receive_edited(picture, PictureEdit(patch=0.25, at=(0.5, 0.25)), PREPROCESS)
    whole = receive_edited(picture, UNCHANGED, PREPROCESS)
    inside = np.zeros((16, 16), bool)
    inside[2:6, 6:10] = True  # a quarter of 16 pixels, around (8, 4)
    assert np.array_equal(covered[:, ~inside], whole[:, ~inside])
    assert (covered[:, inside] == np.array(neutral_colour(PREPROCESS), np.uint8)[:, None]).all()


@pytest.mark.parametrize("at", [(0.0, 0.0), (1.0, 1.0)])
def test_a_square_over_the_edge_is_cut_there(at):
    covered = receive_edited(noise(40, 40), PictureEdit(patch=0.5, at=at), PREPROCESS)
    assert covered.shape == (3, 16, 16)
    assert (covered == np.array(neutral_colour(PREPROCESS), np.uint8)[:, None, None]).all(0).sum() == 16


def test_the_most_that_can_be_cut_away_leaves_a_picture():
    thin = Image.open(io.BytesIO(encoded(noise(400, 16))))
    assert receive_edited(thin.convert("RGB"), PictureEdit(crop=0.9), PREPROCESS).shape == (3, 16, 16)


def test_where_the_answer_turns_is_the_first_value_on_each_side_that_gives_another_one():
    count, start = len(SLIDES["turn"]), SLIDES["turn"].index(0.0)
    answers = ["cat"] * count
    assert describe_turns("turn", answers, "cat") == "It stays cat all the way."
    answers[start + 2] = answers[start + 4] = "dog"
    answers[0] = "fish"
    assert describe_turns("turn", answers, "cat") == "180° to the right makes it fish, 60° to the left makes it dog."
