"""The PNG of an answer is what its run lengths say, and what a person is shown of it can be seen."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from runtime.answers.index_mask import COLOURS, colour_of, decode_runs, index_mask
from runtime.answers.overlay import MAX_SIDE_PX, overlay
from runtime.answers.segmentation import RunLengths
from tests.runtime.answers.drawn_regions import answer_with, encoded, pixels_of, two_regions


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_runs_are_read_as_pycocotools_writes_them(mask: NDArray[np.bool_]) -> None:
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    starts, ends = decode_runs(RunLengths(size=mask.shape, counts=counts))
    expected = np.diff(np.concatenate([[0], mask.T.ravel().astype(int), [0]]))
    np.testing.assert_array_equal(starts, np.flatnonzero(expected == 1))
    np.testing.assert_array_equal(ends, np.flatnonzero(expected == -1))


@pytest.mark.parametrize("run", [1, 15, 16, 31, 32, 1023, 1024, 40_000])
def test_long_runs_are_read_whatever_their_number_of_bits(run: int) -> None:
    mask = np.zeros((50_000, 2), np.uint8, "F")
    mask[7 : 7 + run] = 1
    starts, ends = decode_runs(RunLengths(size=mask.shape, counts=coco.encode(mask)["counts"].decode()))
    assert (starts.tolist(), ends.tolist()) == ([7, 50_007], [7 + run, 50_007 + run])


@given(st.integers(0, 99), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_the_png_has_the_answers_regions_bit_for_bit(seed: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    answer = answer_with(rng.random((9, 8), np.float32), rng.integers(1, 3, (9, 8), np.uint8), width, height)
    image = Image.open(io.BytesIO(index_mask(answer)))
    assert (image.format, image.mode, image.size) == ("PNG", "P", (width, height))
    expected = np.zeros((height, width), np.uint8)
    for region in sorted(answer.regions, key=lambda region: -region.area_px):
        expected[pixels_of(region)] = region.class_id + 1
    np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_viewer_shows_each_kind_in_its_colour_on_black() -> None:
    shown = np.asarray(Image.open(io.BytesIO(index_mask(two_regions(64, 48)))).convert("RGB"))
    assert shown[0, 0].tolist() == [0, 0, 0]
    assert (tuple(shown[14, 18]), tuple(shown[34, 48])) == (COLOURS[0], COLOURS[1])


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(64, 48), (1000, 750), (4000, 3000)])
@pytest.mark.parametrize("ground", [False, True])
def test_outlines_lie_on_the_borders_of_the_upright_picture(
    size: tuple[int, int], orientation: int, ground: bool
) -> None:
    answer = two_regions(*size)
    data = encoded(np.full((size[1], size[0]), ground), "JPEG", orientation)
    image = Image.open(io.BytesIO(overlay(data, answer, "PNG")))
    assert image.size == {64: (832, 624), 1000: (1000, 750), 4000: (1600, 1200)}[size[0]]
    assert max(image.size) <= MAX_SIDE_PX
    pixels = np.asarray(image.convert("RGB")).astype(int)
    for region in answer.regions:
        is_line = np.all(abs(pixels - colour_of(region.class_id)) <= 2, axis=2)
        scale = image.width / size[0]
        middle = round((region.box.top + region.box.bottom) / 2 * scale)
        columns = np.flatnonzero(is_line[middle])
        for edge in (region.box.left * scale, region.box.right * scale):
            assert abs(columns + 0.5 - edge).min() <= 1
        assert (abs(columns[:, None] + 0.5 - [region.box.left * scale, region.box.right * scale]).min(1) <= 3).all()
        rows = np.flatnonzero(is_line[:, round((region.box.left + 0.8 * (region.box.right - region.box.left)) * scale)])
        assert abs(rows + 0.5 - region.box.bottom * scale).min() <= 1


def test_a_region_too_small_for_the_drawing_is_marked_all_the_same() -> None:
    foreground = np.zeros((300, 400), np.float32)
    foreground[200, 300] = 1
    answer = answer_with(foreground, np.ones((300, 400), np.uint8), 400, 300)
    tiny = answer.regions[0].model_copy(
        update={
            "box": answer.regions[0].box.model_copy(update={"left": 3001, "top": 2001, "right": 3002, "bottom": 2002}),
            "mask": RunLengths(size=(3000, 4000), counts=counts_of_one_pixel(3001 * 3000 + 2001, 3000 * 4000)),
        }
    )
    answer = answer.model_copy(update={"width": 4000, "height": 3000, "regions": [tiny]})
    drawn = np.asarray(Image.open(io.BytesIO(overlay(encoded(np.zeros((3000, 4000), bool), "PNG"), answer, "PNG"))))
    assert (drawn[798:804, 1198:1204] == COLOURS[0]).all(axis=2).any()


def counts_of_one_pixel(place: int, num_pixels: int) -> str:
    counts = {"size": [3000, 4000], "counts": [place, 1, num_pixels - place - 1]}
    text: str = coco.frPyObjects(counts, 3000, 4000)["counts"].decode()
    return text


def test_a_name_that_the_font_cannot_show_is_written_as_its_number() -> None:
    data = encoded(np.zeros((300, 400), bool), "PNG")
    answer = two_regions(400, 300)
    renamed = [region.model_copy(update={"label": "孔"}) for region in answer.regions]
    numbered = [region.model_copy(update={"label": f"region {region.class_id}"}) for region in answer.regions]
    drawn = [overlay(data, answer.model_copy(update={"regions": regions})) for regions in (renamed, numbered)]
    assert drawn[0] == drawn[1] != overlay(data, answer)


def test_another_picture_than_the_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="of 64 x 48 pixels, this one has 48 x 64: give the same picture"):
        overlay(encoded(np.zeros((64, 48), bool), "PNG"), two_regions(64, 48))
