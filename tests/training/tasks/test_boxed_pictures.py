"""Pictures with boxes: both take every change together, and draws of a batch are filled up to one shape."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from dataset.boxes import AnnotatedBox, write_boxes
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from runtime.model.contract import DetectionContract, Lineage, ResizeRule
from tests.training.detection_section import detection_section
from training.data.tensors import BoxArray
from training.params import Params
from training.tasks.box_figures import count_boxes
from training.tasks.boxed_pictures import BoxedPictures, BoxViews, boxes_in_window
from training.tasks.detection_loss import COUNTS, IGNORED, NO_BOX

BOX = (40.0, 10.0, 70.0, 40.0)


def _contract(resize: ResizeRule = "stretch") -> DetectionContract:
    return DetectionContract(
        classes=("crack", "good"), objects=("crack",), height=64, width=96, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
        resize=resize, lineage=Lineage(backbone="test_resnet"),
    )  # fmt: skip


def _manifest(root: Path, rows: list[tuple[str, list[AnnotatedBox]]]) -> Manifest:
    """Write pictures that are white in their boxes, so that the picture itself says where a box must be."""
    table, boxes = [], []
    for i, (label, of_picture) in enumerate(rows):
        pixels = np.full((50, 120), 20, np.uint8)
        for box in of_picture:
            left, top, right, bottom = map(int, box.corners)
            pixels[top:bottom, left:right] = 235
        Image.fromarray(pixels).save(root / f"{i}.png")
        table.append({"path": f"{i}.png", "label": label, "group": f"g{i}", "width": 120, "height": 50})
        boxes += [(f"{i}.png", box) for box in of_picture]
    write_boxes(root, boxes)
    DataDescription(name="t", title="t", summary="t", group_meaning="t", objects=("crack",)).write(root)
    return Manifest(pd.DataFrame(table).reindex(columns=COLUMNS, fill_value=""), root)


def _params(root: Path, tiny_params: dict[str, Any], view: float = 1.0, **augment: Any) -> Params:
    section = detection_section({"steps": 1, "view": view})
    section["augment"] |= {"flip": False, **augment}
    (root / "params.yaml").write_text(yaml.safe_dump(tiny_params | {"detection": section}))
    return Params.read(root / "params.yaml", "detection")


def _bright(image: np.ndarray) -> list[int]:
    """Return left, top, right and bottom of what is white; bars of the letterbox are 128."""
    rows, columns = np.nonzero(image[:, :, 0] > 135)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def _whole(pictures: BoxedPictures, index: int = 0) -> tuple[np.ndarray, BoxArray]:
    picture = pictures[index]
    assert picture.boxes is not None
    return picture.image, picture.boxes


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_a_box_lies_on_its_object_whatever_the_resize_rule(tmp_path: Path, resize: ResizeRule) -> None:
    manifest = _manifest(tmp_path, [("crack", [AnnotatedBox("crack", BOX)])])
    image, boxes = _whole(BoxedPictures(manifest, _contract(resize)))
    assert boxes[:, 4:].tolist() == [[0, COUNTS]]
    assert np.abs(boxes[0, :4] - _bright(image)).max() <= 1


@pytest.mark.parametrize(
    "augment",
    [
        {"flip": True}, {"crop_min_area": 0.5}, {"translate": 0.1}, {"scale": 0.3},
        {"flip": True, "crop_min_area": 0.6, "crop_max_aspect": 1.5},
    ],
)  # fmt: skip
def test_boxes_move_with_the_picture(tmp_path: Path, tiny_params: dict[str, Any], augment: dict[str, Any]) -> None:
    manifest = _manifest(tmp_path, [("crack", [AnnotatedBox("crack", BOX)])])
    params = _params(tmp_path, tiny_params, 0.7, **augment)
    assert params.detection is not None
    pictures = BoxedPictures(manifest, _contract(), views=BoxViews(params, params.detection))
    places = set()
    for repeat in range(20):
        picture = pictures[0, repeat]
        assert picture.image.shape == (32, 64, 3)
        assert picture.boxes is not None
        if len(picture.boxes) == 1 and (picture.image[:, :, 0] > 135).any():
            assert np.abs(picture.boxes[0, :4] - _bright(picture.image)).max() <= 2
            places.add(tuple(picture.boxes[0, :4].round().tolist()))
    assert len(places) > 5
    again = pictures[0, 3]
    np.testing.assert_array_equal(again.image, pictures[0, 3].image)
    np.testing.assert_array_equal(again.boxes, pictures[0, 3].boxes)


def test_most_windows_hold_an_object_if_they_are_to(tmp_path: Path, tiny_params: dict[str, Any]) -> None:
    manifest = _manifest(tmp_path, [("crack", [AnnotatedBox("crack", (0.0, 0.0, 8.0, 8.0))])])
    held = []
    for share in (0.0, 1.0):
        params = _params(tmp_path, tiny_params, 0.35)
        assert params.detection is not None
        views = BoxViews(params, params.detection.model_copy(update={"object_view_share": share}))
        pictures = BoxedPictures(manifest, _contract(), views=views)
        held.append(sum(bool(len(pictures[0, repeat].boxes)) for repeat in range(20)))  # type: ignore[arg-type]
    assert held[0] < 15
    assert held[1] == 20


def test_a_window_cuts_boxes_off_and_ignores_one_of_which_little_is_left() -> None:
    boxes = np.array(
        [[0, 0, 20, 10, 1, COUNTS], [12, 4, 18, 8, 0, COUNTS], [0, 4, 11, 8, 0, COUNTS], [0, 0, 9, 9, 0, COUNTS]],
        dtype=np.float32,
    )
    found = boxes_in_window(boxes, (slice(2, 12), slice(10, 20)))
    assert found.tolist() == [[0, 0, 10, 8, 1, COUNTS], [2, 2, 8, 6, 0, COUNTS], [0, 2, 1, 6, 0, IGNORED]]


def test_a_batch_is_filled_up_with_none_and_unknown_pictures_are_ignored(tmp_path: Path) -> None:
    two = [AnnotatedBox("crack", BOX), AnnotatedBox("crack", (0.0, 0.0, 20.0, 20.0), ignored=True)]
    pictures = BoxedPictures(_manifest(tmp_path, [("crack", two), ("good", []), ("crack", [])]), _contract())
    batch = pictures.collate([pictures[i] for i in range(3)])
    assert batch.images.shape == (3, 64, 96, 3)
    assert batch.targets[..., 5].tolist() == [[COUNTS, IGNORED], [NO_BOX, NO_BOX], [IGNORED, NO_BOX]]
    assert batch.targets[2, 0, :4].tolist() == [0, 0, 96, 64]
    assert count_boxes(batch.targets, 1).tolist() == [[1], [0], [0]]
    assert pictures.collate([pictures[1]]).targets.shape == (1, 1, 6)
    assert pictures.has_boxes()
    assert pictures.legend == [("crack", (213, 94, 0))]


def test_pictures_to_look_at_have_their_boxes_drawn_in(tmp_path: Path) -> None:
    two = [AnnotatedBox("crack", BOX), AnnotatedBox("crack", (0.0, 0.0, 20.0, 20.0), ignored=True)]
    pictures = BoxedPictures(_manifest(tmp_path, [("crack", two)]), _contract())
    drawn, (image, boxes) = pictures.plain(0), _whole(pictures)
    left, top, right, bottom = boxes[0, :4].round().astype(int)
    assert drawn[top, left].tolist() == drawn[bottom - 1, right - 1].tolist() == [213, 94, 0]
    assert drawn[0, 0].tolist() == [160, 160, 160]
    np.testing.assert_array_equal(drawn[top + 3 : bottom - 3, left + 3 : right - 3], 235)
    assert image.max() == 235  # the picture itself is as it was
