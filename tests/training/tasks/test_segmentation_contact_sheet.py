"""The contact sheet of segmentation shows pictures with what their masks mark, each region in its colour."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.annotations import IGNORED, write_mask
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from runtime.model.contract import Lineage, SegmentationContract
from tests.training.segmentation_section import segmentation_section
from training.data.contact_sheet import CAPTION_PX, LEGEND_PX, save_contact_sheet
from training.params import Params
from training.tasks.drawn_masks import COLOURS, HATCH, colour_of, drawn_in
from training.tasks.masked_pictures import MaskedPictures, Views


def _is(drawn: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray((drawn == colour).all(axis=2))


def test_the_edge_of_every_region_is_in_its_colour_and_nothing_else_is() -> None:
    image, mask = np.full((8, 8, 3), 90, np.uint8), np.zeros((8, 8), np.uint8)
    mask[2:6, 0:4], mask[2:6, 4:8] = 2, 1
    drawn = drawn_in(image, mask)
    for value, left in ((2, 0), (1, 4)):
        expected = np.zeros((8, 8), dtype=bool)
        expected[2:6, left : left + 4] = True
        expected[3:5, left + 1 : left + 3] = False
        np.testing.assert_array_equal(_is(drawn, colour_of(value)), expected)
    assert (drawn[mask == 0] == 90).all()
    assert (image == 90).all()


def test_what_is_ignored_is_hatched_and_stays_to_be_seen() -> None:
    image, mask = np.full((8, 8, 3), 90, np.uint8), np.zeros((8, 8), np.uint8)
    mask[:, 4:] = IGNORED
    grey = _is(drawn_in(image, mask), HATCH)
    assert not grey[:, :4].any()
    assert grey[:, 4:].sum() == 8 * 4 // 4


def test_an_edge_is_seen_when_the_picture_is_made_small() -> None:
    image, mask = np.full((480, 480, 3), 90, np.uint8), np.zeros((480, 480), np.uint8)
    mask[100:400, 100:400] = 1
    coloured = _is(drawn_in(image, mask), colour_of(1))
    assert coloured[250].sum() == 2 * 5  # of 480 pixels, each side of which 5 are one of 96


def test_there_are_colours_for_any_number_of_regions() -> None:
    assert len({colour_of(value) for value in range(1, 255)}) == len(COLOURS)


REGIONS = ("bright", "dark")


@pytest.fixture
def dotted(tmp_path: Path, tiny_params: dict[str, Any]) -> MaskedPictures:
    """Grey pictures with one bright and one dark dot anywhere, a region each, and an ignored strip at the right."""
    rng = np.random.default_rng(7)
    rows = []
    ys, xs = np.indices((96, 128))
    for number in range(8):
        pixels, mask = np.full((96, 128), 110, np.uint8), np.zeros((96, 128), np.uint8)
        mask[:, 120:] = IGNORED
        # In two halves, so that none hides the other.
        for value, grey, first in ((1, 250, 12), (2, 0, 66)):
            y, x = rng.integers(12, 84), first + rng.integers(42)
            inside = (ys - y) ** 2 + (xs - x) ** 2 <= 6**2
            pixels[inside], mask[inside] = grey, value
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        write_mask(tmp_path / f"{number}.mask.png", mask)
        rows.append({"path": f"{number}.png", "label": REGIONS[number % 2], "group": str(number)})
        rows[-1] |= {"mask": f"{number}.mask.png", "width": "128", "height": "96", "sha256": str(number)}
    described = {"name": "dots", "title": "Dots", "summary": "", "group_meaning": "dot"}
    DataDescription(**described, regions=REGIONS).write(tmp_path)
    manifest = Manifest(pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value=""), tmp_path)
    half = (0.5, 0.5, 0.5)
    contract = SegmentationContract(
        classes=REGIONS, regions=REGIONS, height=96, width=128, mean=half, std=half,
        lineage=Lineage(backbone="test_resnet"),
    )  # fmt: skip
    section = segmentation_section({"view": 0.7, "steps": 1}) | {"gain_stops": 0.0, "gamma": 0.0}
    document = tiny_params
    document["train"] |= section["train"]
    document["augment"] |= {
        "crop_min_area": 0.5, "flip": True, "rotate_degrees": 30, "scale": 0.2, "translate": 0.1, "shear_degrees": 10,
        "brightness": 0, "contrast": 0,
    }  # fmt: skip
    params = Params(
        **{name: document[name] for name in ("contract", "model", "train", "augment")}, segmentation=section
    )
    assert params.segmentation is not None
    pictures = MaskedPictures(manifest, contract, None, Views(params, params.segmentation))
    pictures.epoch = 1
    return pictures


def test_a_marked_dot_stays_on_its_dot_whatever_augmentation_does(dotted: MaskedPictures) -> None:
    """Pixels and mask each say where a dot is: they agree on its middle, and on more of it than on anything else."""
    seen = {1: 0, 2: 0}
    views = set()
    for index in range(len(dotted)):
        for repeat in range(12):
            picture = dotted[index, repeat]
            assert picture.mask is not None
            assert set(np.unique(picture.mask)) <= {0, 1, 2, IGNORED}
            grey = picture.image[..., 0].astype(int)
            views.add(picture.image.tobytes())
            for value, shown in ((1, grey > 180), (2, grey < 55)):
                marked = picture.mask == value
                if min(marked.sum(), shown.sum()) < 60:
                    continue  # cut off by the view, so that too little of it is left to have a middle
                seen[value] += 1
                middles = [np.argwhere(where).mean(axis=0) for where in (marked, shown)]
                assert np.abs(middles[0] - middles[1]).max() < 1.0
                assert (marked & shown).sum() > 0.75 * (marked | shown).sum()
    assert len(views) > 80
    assert min(seen.values()) > 20


def test_the_sheet_names_the_regions_in_their_colours(dotted: MaskedPictures, tmp_path: Path) -> None:
    save_contact_sheet(dotted, REGIONS, 0, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    for value in (1, 2):
        near = np.abs(pixels.astype(int) - np.asarray(colour_of(value))).max(axis=2) < 40  # tiles are made smaller
        assert near[:CAPTION_PX].sum() >= LEGEND_PX**2
        assert near[CAPTION_PX:].sum() > 100
