"""Crops: which pixels belong to one, and that it is brought to the model as a picture of its own would be."""

import io

import numpy as np
import pytest
from PIL import Image

from runtime.model.contract import ClassificationContract
from runtime.model.crops import crop_box, is_too_small, open_picture
from runtime.model.preprocess import Box, read_for_model, read_placed
from runtime.model.tiles import PixelBox
from tests.runtime.formats.drawn_pictures import drawn, jpeg, matrix_profile

CONTRACT = ClassificationContract(
    classes=("a", "b"), height=24, width=32, resize="letterbox", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)

JPEG = jpeg(drawn(1200, 1600), quality=95)


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 10, 20, 30), 0.0, (10, 10, 20, 30)),
        ((10.2, 10.9, 20.1, 29.5), 0.0, (10, 10, 21, 30)),
        ((10, 10, 20, 30), 0.1, (9, 8, 21, 32)),
        ((1, 2, 21, 22), 0.5, (0, 0, 31, 32)),
        ((80, 60, 100, 75), 1.0, (60, 45, 100, 75)),
    ],
)
def test_a_crop_is_whole_pixels_with_a_margin_within_the_picture(box: Box, margin: float, expected: PixelBox) -> None:
    assert crop_box(box, margin, (100, 75)) == expected


def test_a_side_under_eight_pixels_is_too_small() -> None:
    assert [is_too_small(box) for box in ((0, 0, 8, 8), (0, 0, 7, 20), (3, 3, 20, 10))] == [False, True, True]


def test_a_crop_reaches_the_model_as_a_picture_of_its_own_does() -> None:
    picture = Image.fromarray(drawn(1200, 1600))
    profile = matrix_profile(((0.6, 0.3, 0.02), (0.2, 0.6, 0.07), (0.16, 0.1, 0.73)), 1.8)
    file, cut = io.BytesIO(), io.BytesIO()
    picture.save(file, "PNG", icc_profile=profile)
    box = (301, 77, 420, 201)
    picture.crop(box).save(cut, "PNG", icc_profile=profile)
    opened = open_picture(file.getvalue(), CONTRACT, is_cut=True)
    assert np.array_equal(opened.crop(box, CONTRACT), read_for_model(cut.getvalue(), CONTRACT))
    assert opened.num_bytes == 4 * 1600 * 1200


def test_a_jpeg_is_reduced_only_where_nothing_is_cut_out() -> None:
    reduced, full = (open_picture(JPEG, CONTRACT, is_cut=is_cut) for is_cut in (False, True))
    assert reduced.image.size == (200, 150)
    assert full.image.size == (1600, 1200)
    pixels, place = reduced.whole(CONTRACT)
    as_always, placed_as_always = read_placed(JPEG, CONTRACT)
    assert np.array_equal(pixels, as_always)
    assert place == placed_as_always
    assert full.whole(CONTRACT)[1] == place


def test_a_jpeg_is_large_enough_for_every_model() -> None:
    larger = CONTRACT.model_copy(update={"height": 96, "width": 128})
    assert open_picture(JPEG, CONTRACT, larger).image.size == (400, 300)
