"""Write what people said in the forms that others read: folders of classes, COCO's document, tables."""

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as cocotools

from dataset.checks import named
from dataset.label_studio.export_file import Region
from dataset.label_studio.read import Labelled, LabelledPicture
from dataset.manifest import ManifestError
from dataset.sources.listing import NORMAL
from project.progress import progress
from project.write_whole import write_whole
from runtime.model.image import decode_image

EXPORT, LEFT_OUT, MANIFEST, FOLDER = "label-studio.json", "left_out.csv", "manifest.csv", "folder"


def write_tables(folder: Path, labelled: Labelled) -> None:
    """Write `manifest.csv`, what each picture is, and `left_out.csv`, which tasks say nothing and why."""
    rows = [(one.name, _label(one), one.task) for one in labelled.pictures]
    write_whole(folder / MANIFEST, _csv(("path", "label", "task"), rows))
    left = [(number, why.kind, why.reason) for number, why in labelled.left_out.items()]
    write_whole(folder / LEFT_OUT, _csv(("task", "kind", "reason"), left))


def write_class_folders(folder: Path, pictures: Sequence[LabelledPicture]) -> None:
    """Copy each picture to `<class>/<path>`. Raises ManifestError for classes that no folder can be called."""
    labels = {one.answer.label for one in pictures}
    if wrong := sorted(label for label in labels if label in ("", ".", "..") or "/" in label or label.startswith(".")):
        raise ManifestError(f"no folder can be called {named(wrong)}: take the export itself, make data DATA={EXPORT}")
    for one in progress(pictures, "copying pictures", unit="picture"):
        _copy(one, folder / one.answer.label / one.name)


def write_coco_folder(folder: Path, pictures: Sequence[LabelledPicture]) -> None:
    """Copy pictures to `images/` and write `annotations.json`: boxes, and brushes as COCO's run lengths."""
    names = sorted({region.label for one in pictures for region in one.answer.regions})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(progress(pictures, "copying pictures", unit="picture"), 1):
        _copy(one, folder / "images" / one.name)
        height, width = decode_image(one.file.read_bytes()).shape[:2]
        images.append({"id": number, "file_name": one.name, "width": width, "height": height})
        for region in one.answer.regions:
            category = names.index(region.label) + 1
            known = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
            annotations.append({**known, **_shape(region)})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    write_whole(folder / "annotations.json", json.dumps(document))


def _shape(region: Region) -> dict[str, Any]:
    if region.corners:
        left, top, right, bottom = region.corners
        area = (right - left) * (bottom - top)
        return {"bbox": [left, top, right - left, bottom - top], "area": area, "segmentation": []}
    runs = cocotools.encode(np.asfortranarray(region.mask().astype(np.uint8)))
    size, counts = [int(side) for side in runs["size"]], runs["counts"].decode()
    return {
        "bbox": [float(side) for side in cocotools.toBbox(runs)],
        "area": float(cocotools.area(runs)),
        "segmentation": {"size": size, "counts": counts},
    }


def _label(picture: LabelledPicture) -> str:
    answer = picture.answer
    if answer.label or answer.says_nothing:
        return answer.label or NORMAL
    return ", ".join(sorted({region.label for region in answer.regions}))


def _copy(picture: LabelledPicture, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(picture.file, target)


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return file.getvalue()
