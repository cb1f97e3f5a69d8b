"""Pictures with masks: both take every change together, and draws are equal over classes and objects."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.annotations import IGNORED, write_mask
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest, ManifestError
from runtime.model.contract import Lineage, ResizeRule, SegmentationContract
from tests.training.segmentation_section import segmentation_section
from training.data.sampling import object_draws
from training.params import Params
from training.tasks.masked_pictures import MaskedPictures, Views, random_exposure, random_flips, random_view


def _contract(resize: ResizeRule = "stretch") -> SegmentationContract:
    return SegmentationContract(
        classes=("crack", "good"), regions=("crack",), height=64, width=96, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
        resize=resize, lineage=Lineage(backbone="test_resnet"),
    )  # fmt: skip


def _manifest(root: Path, rows: list[tuple[str, str, np.ndarray | None]]) -> Manifest:
    """Write pictures whose defect is white on dark, so that the picture itself says where its mask must be."""
    table = []
    for i, (label, group, marked) in enumerate(rows):
        pixels = np.full((50, 120), 20, np.uint8) if marked is None else np.where(marked, 235, 20).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{i}.png")
        mask = ""
        if marked is not None:
            mask = f"{i}.mask.png"
            write_mask(root / mask, marked.astype(np.uint8))
        table.append({"path": f"{i}.png", "label": label, "group": group, "mask": mask, "width": 120, "height": 50})
    DataDescription(name="t", title="t", summary="t", group_meaning="t", regions=("crack",)).write(root)
    return Manifest(pd.DataFrame(table).reindex(columns=COLUMNS, fill_value=""), root)


def _whole(pictures: MaskedPictures, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    picture = pictures[index]
    assert picture.mask is not None
    return picture.image, picture.mask


def _marked(top: int, left: int, height: int, width: int) -> np.ndarray:
    marked = np.zeros((50, 120), dtype=bool)
    marked[top : top + height, left : left + width] = True
    return marked


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_a_mask_lies_on_its_defect_whatever_the_resize_rule(tmp_path: Path, resize: ResizeRule) -> None:
    manifest = _manifest(tmp_path, [("crack", "a", _marked(10, 40, 30, 30))])
    image, mask = _whole(MaskedPictures(manifest, _contract(resize)))
    bright = image[:, :, 0] > 130  # bars of the letterbox are 128
    assert set(np.unique(mask)) == ({0, 1, IGNORED} if resize == "letterbox" else {0, 1})
    assert (bright != (mask == 1)).mean() < 0.01
    assert bright.sum() > 300


def test_views_flips_and_crops_move_mask_and_pixels_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    manifest = _manifest(tmp_path, [("crack", "a", _marked(5, 70, 20, 40))])
    image, mask = _whole(MaskedPictures(manifest, _contract()))
    views = [random_flips(*random_view(image, mask, 0.6, 0.5, rng), True, rng) for _ in range(50)]
    for view_image, view_mask in views:
        assert view_image.shape[:2] == view_mask.shape == (32, 64)
        bright = view_image[:, :, 0] > 127
        # a row and a column at the defect's edge are between dark and bright
        assert np.abs(bright.astype(int) - (view_mask == 1)).sum() <= sum(view_mask.shape)
    assert len({view_mask.tobytes() for _, view_mask in views}) > 20


def test_defect_views_hold_the_defect_and_others_need_not(tmp_path: Path) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    mask[1, 2] = 1
    rng = np.random.default_rng(0)
    assert all(random_view(image, mask, 0.5, 1.0, rng)[1].any() for _ in range(50))
    assert not all(random_view(image, mask, 0.5, 0.0, rng)[1].any() for _ in range(50))


def test_whole_views_are_whole_also_where_the_side_is_no_multiple_of_the_stride() -> None:
    image, mask = np.zeros((70, 50, 3), np.uint8), np.zeros((70, 50), np.uint8)
    view_image, view_mask = random_view(image, mask, 1.0, 0.75, np.random.default_rng(0))
    assert view_image.shape == image.shape
    assert view_mask.shape == mask.shape


def test_exposure_changes_by_the_gain_and_never_wraps_around() -> None:
    image = np.array([[[0, 100, 250]]], np.uint8)
    rng = np.random.default_rng(0)
    changed = np.array([random_exposure(image, 1.0, 0.0, rng)[0, 0] for _ in range(200)])
    assert (changed[:, 0] == 0).all()
    assert changed[:, 1].min() >= 50
    assert changed[:, 1].max() <= 200
    assert np.ptp(changed[:, 1]) > 100
    assert (changed[:, 2] >= 125).all()
    assert (random_exposure(image, 0.0, 0.0, rng) == image).all()


def test_an_empty_mask_of_a_defect_is_unknown_and_a_good_picture_is_background(tmp_path: Path) -> None:
    rows = [("crack", "a", _marked(5, 5, 9, 9)), ("crack", "b", _marked(0, 0, 0, 0)), ("good", "c", None)]
    manifest = _manifest(tmp_path, rows)
    pictures = MaskedPictures(manifest, _contract())
    assert (_whole(pictures, 1)[1] == IGNORED).all()
    assert (_whole(pictures, 2)[1] == 0).all()


def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, [("crack", "a", _marked(5, 5, 9, 9))])
    (tmp_path / "0.mask.png").write_bytes(b"no picture")
    with pytest.raises(ManifestError, match=r"0\.mask\.png"):
        MaskedPictures(manifest, _contract())[0]


def test_draws_are_equal_over_classes_then_objects_then_pictures() -> None:
    labels, groups = [0] * 90 + [1] * 10, ["g1"] * 80 + ["g2"] * 10 + ["c1"] * 9 + ["c2"]
    draws = object_draws(labels, groups, 1, 0, 0, 8000)
    rows = Counter(draws[:, 0].tolist())
    by_group = Counter({group: sum(rows[i] for i, g in enumerate(groups) if g == group) for group in set(groups)})
    assert all(count == pytest.approx(2000, rel=0.1) for count in by_group.values())
    assert (object_draws(labels, groups, 1, 0, 30, 20) == draws[30:50]).all()
    assert not (object_draws(labels, groups, 1, 1, 0, 50) == draws[:50]).all()
    assert not (object_draws(labels, groups, 2, 0, 0, 50) == draws[:50]).all()
    assert len(set(draws[:, 1].tolist())) == 8000


def test_a_draw_gives_the_same_view_wherever_it_stands_and_moves_the_mask_with_the_pixels(
    tmp_path: Path, tiny_params: dict[str, Any]
) -> None:
    manifest = _manifest(tmp_path, [("crack", "a", _marked(5, 70, 20, 40)), ("good", "b", None)])
    section = segmentation_section({"view": 0.6, "steps": 1})
    tiny_params["train"] |= section["train"]
    tiny_params["augment"] |= section["augment"] | {"rotate_degrees": 20, "crop_min_area": 0.7}
    params = Params(
        **{name: tiny_params[name] for name in ("contract", "model", "train", "augment")}, segmentation=section
    )
    assert params.segmentation is not None
    seen = []
    for order in ([(0, 5), (1, 6), (0, 7)], [(0, 7), (1, 6), (0, 5)]):
        pictures = MaskedPictures(manifest, _contract(), None, Views(params, params.segmentation))
        seen.append({draw: pictures[draw] for draw in order})
    for draw, one in seen[0].items():
        other = seen[1][draw]
        assert one.mask is not None
        assert (one.image == other.image).all()
        assert (one.mask == other.mask).all()
        bright = one.image[:, :, 0] > 127
        assert np.abs(bright.astype(int) - (one.mask == 1)).sum() <= 2 * sum(one.mask.shape)
    assert not (seen[0][0, 5].image == seen[0][0, 7].image).all()
