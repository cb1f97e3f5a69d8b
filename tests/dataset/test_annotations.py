"""A mask is read by one rule: what counts as marked at the model's size, and what is ignored."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.annotations import IGNORED, Masks, mask_for_model, read_mask, read_mask_for_model, regions_of, write_mask
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest, ManifestError
from runtime.model.contract import ModelContract, ResizeRule, SegmentationContract
from tests.onnx_fixture import tiny_contract


def _described(root: Path, *regions: str) -> None:
    DataDescription(name="t", title="t", summary="t", group_meaning="t", regions=regions).write(root)


def _manifest(root: Path, rows: list[tuple[str, np.ndarray | None]]) -> Manifest:
    """Return a manifest of (label, mask) rows, without pictures."""
    table = []
    for number, (label, mask) in enumerate(rows):
        if mask is not None:
            write_mask(root / f"{number}.png", mask.astype(np.uint8))
        table.append({"label": label, "mask": "" if mask is None else f"{number}.png"})
    return Manifest(pd.DataFrame(table).reindex(columns=COLUMNS, fill_value=""), root)


def _with(value: int, side: int = 16) -> np.ndarray:
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[: side // 2, : side // 2] = value
    return mask


def _segmentation(*regions: str) -> ModelContract:
    half = (0.5, 0.5, 0.5)
    return SegmentationContract(classes=("a", "b"), regions=regions, height=8, width=8, mean=half, std=half)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    write_mask(tmp_path / "masks" / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / "mask.png"), mask)


@pytest.mark.parametrize("mode", ["RGB", "1", "P", "I;16"])
def test_a_mask_that_loading_did_not_write_is_named(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 4)).save(tmp_path / "mask.png")
    with pytest.raises(ManifestError, match=r"mask\.png is none that loading wrote, but PNG .*run `make data` again"):
        read_mask(tmp_path / "mask.png")


@pytest.mark.parametrize(("covered", "is_marked"), [(4, False), (6, True)])
@pytest.mark.parametrize("value", [3, IGNORED])
def test_more_than_half_of_a_pixel_marks_or_ignores_it(covered: int, is_marked: bool, value: int) -> None:
    mask = np.zeros((80, 80), np.uint8)
    mask[20:60, 20 : 50 + covered] = value  # ten file pixels are one of the model's
    found = mask_for_model(mask, tiny_contract(8, 8).model_copy(update={"interpolation": "bilinear"}))
    assert (found[3, 2:5] == value).all()
    assert (found[3, 5] == value) == is_marked
    assert not found[3, 6:].any()


def test_a_pixel_of_several_regions_is_of_the_one_that_has_most_of_it() -> None:
    """No seam of background lies between two regions that touch, as a share of half of each would leave."""
    mask = np.zeros((80, 80), np.uint8)
    mask[:, :33], mask[:, 33:35], mask[:, 35:] = 1, 7, 2
    found = mask_for_model(mask, tiny_contract(8, 8))
    assert found[4].tolist() == [1, 1, 1, 2, 2, 2, 2, 2]


def test_many_regions_keep_their_numbers_and_their_places() -> None:
    blocks = np.arange(1, 17, dtype=np.uint8).reshape(4, 4)
    found = mask_for_model(np.kron(blocks, np.ones((30, 30), np.uint8)), tiny_contract(8, 8))
    np.testing.assert_array_equal(found[::2, ::2], blocks)
    np.testing.assert_array_equal(found[1::2, 1::2], blocks)


@pytest.mark.parametrize(("resize", "bars"), [("stretch", 0), ("letterbox", 8 * 16), ("crop", 0)])
def test_a_full_mask_marks_the_picture_and_bars_are_ignored(resize: ResizeRule, bars: int) -> None:
    contract = tiny_contract(16, 16).model_copy(update={"resize": resize})
    found = mask_for_model(np.full((40, 80), 5, np.uint8), contract)
    assert (found == 5).sum() == 16 * 16 - bars
    assert (found == IGNORED).sum() == bars


def test_a_mask_of_the_models_size_is_taken_as_it_is_and_a_view_of_it_is_enlarged(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", _with(4, 8))
    np.testing.assert_array_equal(read_mask_for_model(tmp_path / "mask.png", tiny_contract(8, 8)), _with(4, 8))
    assert (read_mask_for_model(tmp_path / "mask.png", tiny_contract(8, 8), (0, 0, 0.5, 0.5)) == 4).all()


def test_a_mask_that_is_gone_or_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone\.png can no longer be read .*run `make data` again"):
        read_mask(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ManifestError, match=r"the mask .*text\.png cannot be read"):
        read_mask(tmp_path / "text.png")
    write_mask(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 9, (50, 50)).astype(np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-400])
    with pytest.raises(ManifestError, match=r"the mask .*cut\.png cannot be read"):
        read_mask(tmp_path / "cut.png")


def test_a_region_that_nobody_marked_is_unknown_and_another_class_is_background(tmp_path: Path) -> None:
    _described(tmp_path, "crack")
    rows = [("crack", _with(1)), ("crack", _with(0)), ("crack", None), ("good", _with(0)), ("good", None)]
    masks = Masks(_manifest(tmp_path, rows), tiny_contract(8, 8))
    assert masks.regions == ("crack",)
    assert [masks.marks_any(row) for row in range(5)] == [True, False, False, False, False]
    assert [np.unique(masks.read(row)).tolist() for row in range(5)] == [[0, 1], [IGNORED], [IGNORED], [0], [0]]
    lower_right = (0.5, 0.5, 1.0, 1.0)  # where the first mask marks nothing, though elsewhere it does
    assert [np.unique(masks.read(row, lower_right)).tolist() for row in (0, 1)] == [[0], [IGNORED]]


def test_a_mark_that_covers_no_pixel_by_half_is_as_if_nobody_had_marked_it(tmp_path: Path) -> None:
    _described(tmp_path, "crack")
    speck = np.zeros((80, 80), np.uint8)
    speck[4, 4] = 1
    masks = Masks(_manifest(tmp_path, [("crack", speck)]), tiny_contract(8, 8))
    assert (masks.read(0) == IGNORED).all()


def test_masks_have_the_numbers_of_the_models_regions(tmp_path: Path) -> None:
    _described(tmp_path, "blowhole", "crack")
    manifest = _manifest(tmp_path, [("crack", _with(2)), ("blowhole", _with(1))])
    masks = Masks(manifest, _segmentation("break", "crack"))
    assert np.unique(masks.read(0)).tolist() == [0, 2]
    with pytest.raises(ManifestError, match=r"1\.png marks blowhole, which is none of the model's regions \(break, cr"):
        masks.read(1)


def test_a_value_without_a_name_is_refused(tmp_path: Path) -> None:
    _described(tmp_path, "crack")
    masks = Masks(_manifest(tmp_path, [("good", _with(3))]), tiny_contract(8, 8))
    with pytest.raises(ManifestError, match=r"0\.png holds 3, but the data set has 1 region"):
        masks.read(0)


def test_masks_of_an_earlier_version_are_refused_and_not_taken_for_ignored(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, [("crack", _with(255))])
    with pytest.raises(ManifestError, match="loaded by an earlier version of this program: run `make data` again"):
        regions_of(manifest)
    (tmp_path / "description.json").write_text('{"name": "t", "title": "t", "summary": "t", "group_meaning": "t"}')
    with pytest.raises(ManifestError, match="loaded by an earlier version of this program: run `make data` again"):
        Masks(manifest, tiny_contract(8, 8))


def test_without_masks_nothing_need_be_described(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, [("crack", None)])
    assert regions_of(manifest) == ()
    assert not Masks(manifest, tiny_contract(8, 8)).read(0).any()


def test_masks_that_mark_nothing_give_no_region(tmp_path: Path) -> None:
    _described(tmp_path)
    manifest = _manifest(tmp_path, [("crack", _with(0))])
    assert regions_of(manifest) == ()
    assert not Masks(manifest, tiny_contract(8, 8)).read(0).any()
