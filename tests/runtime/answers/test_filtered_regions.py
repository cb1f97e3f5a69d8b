"""What a hook made of regions is checked as a whole: names, places, masks, and how many there are."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from runtime.answers.filtered_regions import checked_segmentation
from runtime.answers.segmentation import MAX_REGIONS, Box, Region, RunLengths, Segmentation
from tests.runtime.answers.drawn_regions import two_regions

NAMES = ("crack", "hole")
GIVEN = two_regions(64, 48)
Change = Callable[[Region], Region]


def changed(**fields: object) -> Change:
    return lambda region: region.model_copy(update=fields)


def mask_of(mask: NDArray[np.bool_]) -> RunLengths:
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    return RunLengths(size=mask.shape, counts=counts)


def region_of(mask: NDArray[np.bool_], **fields: object) -> Region:
    """Return a crack of the pixels of a mask, all of whose statements are right."""
    rows, columns = np.nonzero(mask)
    box = Box(left=columns.min(), top=rows.min(), right=columns.max() + 1, bottom=rows.max() + 1)
    share = mask.mean()
    region = Region(
        label="crack", class_id=0, score=0.5, box=box, area_px=mask.sum(), area_share=share, mask=mask_of(mask)
    )
    return region.model_copy(update=fields)


def returned(*regions: Region, **fields: object) -> Segmentation:
    return GIVEN.model_copy(update={"regions": list(regions), **fields})


def test_what_a_hook_leaves_is_as_it_was() -> None:
    assert checked_segmentation(GIVEN, GIVEN, NAMES) == GIVEN


def test_regions_may_be_dropped_called_otherwise_and_scored_and_are_counted() -> None:
    crack, hole = GIVEN.regions
    assert checked_segmentation(returned(hole), GIVEN, NAMES).num_regions == 1
    many = GIVEN.model_copy(update={"num_regions": 7})  # of which the model listed two
    assert checked_segmentation(returned(hole, num_regions=7), many, NAMES).num_regions == 6
    assert checked_segmentation(returned(hole, num_regions=3), many, NAMES).num_regions == 3
    renamed = crack.model_copy(update={"label": "hole", "class_id": 1, "score": 0.1})
    assert checked_segmentation(returned(renamed, hole), GIVEN, NAMES).regions == [renamed, hole]


def test_the_largest_is_first_whatever_the_hooks_order_since_pictures_are_drawn_so() -> None:
    large, small = GIVEN.regions
    assert checked_segmentation(returned(small, large), GIVEN, NAMES).regions == [large, small]


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any), st.booleans())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_a_hooks_own_mask_passes_if_box_and_area_are_its_own(mask: NDArray[np.bool_], is_right: bool) -> None:
    height, width = mask.shape
    given_ = GIVEN.model_copy(update={"width": width, "height": height, "regions": [], "num_regions": 0})
    region = region_of(mask)
    if is_right:
        answer = given_.model_copy(update={"regions": [region]})
        assert checked_segmentation(answer, given_, NAMES).regions == [region]
        return
    wider = region.box.model_copy(update={"left": region.box.left - 1 if region.box.left else region.box.left + 1})
    with pytest.raises(ValueError, match=r"regions\[0\] has a (box|mask)"):
        checked_segmentation(
            given_.model_copy(update={"regions": [region.model_copy(update={"box": wider})]}), given_, NAMES
        )


WHOLE = np.ones((48, 64), bool)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (changed(class_id=2), "has the class_id 2, and the model knows 2 regions: crack, hole"),
        (changed(label="hole"), "is called 'hole', and its class_id 0 is crack: change both"),
        (changed(label="scratch"), "is called 'scratch', and its class_id 0 is crack"),
        (changed(box=Box(left=3, top=0, right=65, bottom=9)), r"has a box \(3, 0, 65, 9\) that is not in the image"),
        (changed(box=Box(left=9, top=0, right=9, bottom=9)), r"has a box \(9, 0, 9, 9\) that is not in the image"),
        (changed(box=Box(left=0, top=0, right=64, bottom=48)), r"has a mask of \d+ pixels in left=.*, and says \d+ in"),
        (changed(area_px=5), r"has a mask of \d+ pixels in .*, and says 5 in"),
        (changed(area_share=0.5), r"covers 0\.\d+ of the image, and says 0\.5"),
        (changed(mask=mask_of(WHOLE[:, :-1])), r"has a mask of the size \[48, 63\], and the image is \[48, 64\]"),
        (changed(mask=mask_of(~WHOLE)), "with a pixel inside"),
        (changed(mask=RunLengths(size=(48, 64), counts="")), "whose counts are no run lengths"),
        (changed(mask=RunLengths(size=(48, 64), counts="é")), "whose counts are no run lengths"),
        (changed(mask=RunLengths(size=(48, 64), counts="0o")), "whose counts are no run lengths"),  # more is to follow
        (changed(mask=RunLengths(size=(48, 64), counts="o" * 20 + "0")), "whose counts are no run lengths"),
        (changed(mask=RunLengths(size=(48, 64), counts="11")), "whose counts are no run lengths"),  # of two pixels
    ],
)
def test_a_region_that_cannot_be_is_named(change: Change, problem: str) -> None:
    crack, hole = GIVEN.regions
    with pytest.raises(ValueError, match=rf"^regions\[1\] {problem}|^regions\[1\] .*{problem}"):
        checked_segmentation(returned(hole, change(crack)), GIVEN, NAMES)


def test_an_answer_of_another_image_or_of_too_many_or_too_few_regions_is_refused() -> None:
    with pytest.raises(ValueError, match="the image is 64 x 48 pixels, not 64 x 47"):
        checked_segmentation(returned(height=47), GIVEN, NAMES)
    with pytest.raises(ValueError, match=f"it has {MAX_REGIONS + 1} regions; an answer lists at most {MAX_REGIONS}"):
        checked_segmentation(returned(*GIVEN.regions[:1] * (MAX_REGIONS + 1)), GIVEN, NAMES)
    with pytest.raises(ValueError, match="num_regions is 1, and 2 are listed"):
        checked_segmentation(returned(*GIVEN.regions, num_regions=1), GIVEN, NAMES)
