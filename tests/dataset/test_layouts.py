"""Every layout in README's table is loaded and divided by the words that stand beside it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset import load, source, split
from dataset.manifest import SPLITS, Manifest
from tests.dataset.boxed_files import voc_object
from tests.dataset.picture_files import save, texture

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (.+) \| (.+) \| (?:.+) \| (`DATA=pictures.*) \|$", re.M)
NUMBER = 6  # pictures of each class
LABELS = ["hole"] * NUMBER + ["good"] * NUMBER
PARTS = ["train", "train", "val", "test", "train", "test"] * 2


def draw(root: Path, places: list[str]) -> None:
    for number, place in enumerate(places):
        save(root / place, texture(number, 24, 32))


def class_folders(root: Path) -> None:
    draw(root, [f"{label}/{number}.png" for number, label in enumerate(LABELS)])


def divided(root: Path) -> None:
    draw(root, [f"{part}/{label}/{n}.png" for n, (part, label) in enumerate(zip(PARTS, LABELS, strict=True))])


def listed(root: Path) -> None:
    draw(root, [f"{number}.png" for number in range(2 * NUMBER)])
    lines = [f"{number}.png,{label}" for number, label in enumerate(LABELS)]
    (root.parent / "labels.csv").write_text("\n".join(["path,label", *lines]))


def imagefolder(root: Path) -> None:
    draw(root, [f"{number}.png" for number in range(2 * NUMBER)])
    entries = [{"file_name": f"{number}.png", "label": label} for number, label in enumerate(LABELS)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, entries)))


def in_images(root: Path, folder: str = "images") -> None:
    draw(root, [f"{folder}/{number}.png" for number in range(2 * NUMBER)])


def masked(root: Path) -> None:
    in_images(root)
    for number, label in enumerate(LABELS):
        mask = np.zeros((24, 32), dtype=np.uint8)
        mask[4:12, 4:12] = 255 * (label == "hole")
        save(root / f"masks/{number}.png", mask)
    (root / "masks/classes.csv").write_text("value,name\n255,hole\n")


def coco(root: Path) -> None:
    in_images(root)
    images = [{"id": n, "file_name": f"{n}.png", "width": 32, "height": 24} for n in range(2 * NUMBER)]
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [4, 4, 8, 8]} for n in range(NUMBER)]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "hole"}]}
    (root / "annotations.json").write_text(json.dumps(document))


def yolo(root: Path) -> None:
    in_images(root)
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("hole\n")
    for number, label in enumerate(LABELS):
        (root / f"labels/{number}.txt").write_text("0 0.3 0.3 0.2 0.2\n" if label == "hole" else "")


def voc(root: Path) -> None:
    in_images(root, "JPEGImages")
    (root / "Annotations").mkdir()
    for number, label in enumerate(LABELS):
        one = voc_object("hole", 5, 5, 12, 12) if label == "hole" else ""
        (root / f"Annotations/{number}.xml").write_text(f"<annotation>{one}</annotation>")


# By what stands in the first two cells, from the top.
DRAWINGS: dict[str, Callable[[Path], None]] = {
    "`train/`": divided, "one folder a class": class_folders, "a CSV": listed, "`metadata.jsonl`": imagefolder,
    "`masks/`": masked, "of COCO": coco, "of YOLO": yolo, "Pascal VOC": voc,
}  # fmt: skip
ROWS = [(f"{pictures} {beside}", words) for pictures, beside, words in ROW.findall(README)]
CASES = [(place, words) for place, cell in ROWS for words in re.findall(r"`([^`]*)`", cell)]


def test_the_table_has_every_layout() -> None:
    assert len(ROWS) == len(DRAWINGS)
    assert tuple(words for place, words in CASES if "train" in place) == ("DATA=pictures SPLIT=given", "SPLIT=ours")


@pytest.mark.parametrize(("place", "words"), CASES)
def test_each_layout_of_the_table_is_loaded_and_divided_by_its_words(tmp_path: Path, place: str, words: str) -> None:
    root, data_dir = tmp_path / "pictures", tmp_path / "data"
    next(drawing for name, drawing in DRAWINGS.items() if name in place)(root)
    typed = dict(word.split("=") for word in words.split())
    options = [f"--{name.lower()}={tmp_path / value if '.' in value else value}" for name, value in typed.items()]
    noted = str(data_dir / "source.yaml")
    assert source.main([str(root), *(word for word in options if "--data" not in word), "--out", noted]) == 0
    params = str(tmp_path / "params.yaml")
    Path(params).write_text(
        "contract: {max_value: auto}\ndata: {near_duplicate_correlation: 0.99, max_leak_share: 0}\n"
        "split: {seed: 0, num_folds: 3, test_fold: 0}\n"
    )
    assert load.main(["--source", noted, "--data", str(data_dir), "--params", params]) == 0
    pictures, manifest = data_dir / "pictures.csv", data_dir / "manifest.csv"
    assert split.main(["--pictures", str(pictures), "--out", str(manifest), "--params", params]) == 0
    table = Manifest.read(manifest).table
    assert sorted(table["label"]) == sorted(LABELS)
    assert set(table["split"]) == set(SPLITS)
    if "SPLIT=given" in words:
        assert (table["split"] == table["path"].str.split("/").str[2]).all()
