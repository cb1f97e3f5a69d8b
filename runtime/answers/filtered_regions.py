"""Check what a hook made of a picture's regions, so that answer, index mask and overlay say the same of it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import ValidationError

from runtime.answers.connected_parts import IntArray
from runtime.answers.index_mask import counts_of
from runtime.answers.segmentation import MAX_REGIONS, Box, Region, RunLengths, Segmentation

_TEXT = range(48, 48 + 64)  # characters of COCO's compressed counts
_MORE = 32  # bit of a character that others of its number follow
_LONGEST = 7  # characters of a number: 34 bits and a sign, more than any picture's pixels take


def checked_segmentation(returned: Segmentation, given: Segmentation, names: tuple[str, ...]) -> Segmentation:
    """Return a hook's answer with its regions in their order, the largest first, and counted.

    returned: whose regions are of the right type, and what is in them may be anything. given: what the hook was called
    with, which is right. names: of the model's regions. Where the hook left `num_regions` as it was, it falls and grows
    with what is listed. Raises ValueError naming the region that cannot be, by its place in what was returned.
    """
    size = returned.width, returned.height
    if size != (given.width, given.height):
        raise ValueError(f"the image is {given.width} x {given.height} pixels, not {size[0]} x {size[1]}")
    if len(returned.regions) > MAX_REGIONS:
        raise ValueError(f"it has {len(returned.regions)} regions; an answer lists at most {MAX_REGIONS}")
    as_given = {id(region) for region in given.regions}  # most are, and need no look
    changed = [place for place, region in enumerate(returned.regions) if id(region) not in as_given]
    drawn = {_extent(region) for region in given.regions} if changed else set()
    regions = list(returned.regions)
    for place in changed:
        regions[place] = _checked(regions[place], place, names, size, drawn)
    number = returned.num_regions
    if number == given.num_regions:
        number += len(regions) - len(given.regions)
    if number < len(regions):
        raise ValueError(f"num_regions is {number}, and {len(regions)} are listed")
    regions.sort(key=lambda region: -region.area_px)
    return returned.model_copy(update={"regions": regions, "num_regions": number})


def _checked(
    region: Region, place: int, names: tuple[str, ...], size: tuple[int, int], drawn: set[tuple[Any, ...]]
) -> Region:
    """Return a region that the hook changed or made. drawn: where the model's are. Raises ValueError with its place."""
    try:
        region = Region.model_validate(region.model_dump(warnings=False))
    except ValidationError as exc:
        raise ValueError(f"regions[{place}] is none: {exc}") from exc
    problem = next(_problems(region, names, size, is_drawn=_extent(region) in drawn), "")
    if problem:
        raise ValueError(f"regions[{place}] {problem}")
    return region


def _extent(region: Region) -> tuple[Any, ...]:
    """Return all that says where a region is."""
    return region.mask, region.box, region.area_px, region.area_share


def _problems(region: Region, names: tuple[str, ...], size: tuple[int, int], *, is_drawn: bool) -> Iterator[str]:
    """Yield what is wrong with a region. is_drawn: whether the model itself drew it there."""
    width, height = size
    if region.class_id >= len(names):
        yield f"has the class_id {region.class_id}, and the model knows {len(names)} regions: {', '.join(names)}"
    elif region.label != names[region.class_id]:
        yield f"is called {region.label!r}, and its class_id {region.class_id} is {names[region.class_id]}: change both"
    if is_drawn:
        return
    box = region.box
    if not (box.left < box.right <= width and box.top < box.bottom <= height):
        yield f"has a box ({box.left}, {box.top}, {box.right}, {box.bottom}) that is not in the image"
    if region.mask.size != (height, width):
        yield f"has a mask of the size {list(region.mask.size)}, and the image is [{height}, {width}]"
    counts = _counts(region.mask)
    if counts is None or counts.min() < 0 or counts.sum() != width * height or not counts[1::2].any():
        yield "has a mask whose counts are no run lengths of the image with a pixel inside"
        return
    area, around = int(counts[1::2].sum()), _box_of(counts, height)
    if (area, around) != (region.area_px, box):
        yield f"has a mask of {area} pixels in {around}, and says {region.area_px} in {box}"
    if not np.isclose(region.area_share, area / (width * height), rtol=1e-6):
        yield f"covers {area / (width * height):g} of the image, and says {region.area_share:g}"


def _counts(mask: RunLengths) -> IntArray | None:
    """Return run lengths, outside and inside by turns; None for what is no text of them."""
    codes = [ord(character) for character in mask.counts]
    if not codes or any(code not in _TEXT for code in codes) or (codes[-1] - _TEXT[0]) & _MORE:
        return None
    longest = max(map(len, "".join("1" if (code - _TEXT[0]) & _MORE else " " for code in codes).split()), default=0)
    return counts_of(mask) if longest < _LONGEST else None


def _box_of(counts: IntArray, height: int) -> Box:
    """Return the smallest rectangle around the pixels inside."""
    edges = counts.cumsum()
    starts, ends = edges[0::2][: len(edges) // 2], edges[1::2] - 1
    is_any = ends >= starts
    starts, ends = starts[is_any], ends[is_any]
    is_one_column = starts // height == ends // height
    tops = np.where(is_one_column, starts % height, 0)
    bottoms = np.where(is_one_column, ends % height, height - 1)
    return Box(
        left=int(starts[0]) // height,
        top=int(tops.min()),
        right=int(ends[-1]) // height + 1,
        bottom=int(bottoms.max()) + 1,
    )
