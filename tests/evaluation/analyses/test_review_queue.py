"""The list for Label Studio: every picture once, addresses that it can serve, an interface that fits the columns."""

import csv
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
from PIL import Image

from dataset.manifest import Manifest
from evaluation.analyses.label_review import LabelIssue, LabelReview, NearDuplicate, Outlier
from evaluation.analyses.review_queue import labelling_interface, write_queue

PATHS = ("pictures/images/a b&c.png", "pictures/images/two.png", "pictures/images/three.png")


def scene(root: Path) -> tuple[LabelReview, Manifest]:
    (root / "pictures/images").mkdir(parents=True)
    for number, path in enumerate(PATHS):
        Image.fromarray(np.full((30, 60, 3), 60 * number, np.uint8)).save(root / path)
    table = pd.DataFrame({"path": PATHS, "label": ["Crack", "Free", "Free"], "split": ["test", "val", "train"]})
    table["sha256"] = ["1", "2", "3"]
    first, second, third = PATHS
    issue = LabelIssue(
        path=first, sha256="1", split="test", group="g", label="Crack", suggested_label="Free", quality=0.02
    )
    pair = NearDuplicate(
        path=first, other_path=second, split="test", other_split="val", label="Crack", other_label="Free",
        correlation=0.97, same_label=False,
    )  # fmt: skip
    outlier = Outlier(
        path=third, sha256="3", split="train", label="Free", statistic="brightness", value=3, median=120, deviation=9
    )
    review = LabelReview(
        num_checked=3, num_label_issues=1, label_issues=(issue,), near_duplicate_correlation=0.9, num_near_duplicates=1,
        near_duplicates=(pair,), outlier_deviation=6, num_outliers=1, outliers=(outlier,), max_listed=100,
    )  # fmt: skip
    return review, Manifest(table, root)


def test_each_picture_is_listed_once_with_an_address_that_decodes_to_its_path(tmp_path: Path) -> None:
    review, manifest = scene(tmp_path / "data")
    write_queue(review, manifest, tmp_path / "out")
    with (tmp_path / "out/to_review.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(PATHS)
    assert [parse_qs(urlsplit(row["image"]).query)["d"] for row in rows] == [[path] for path in PATHS]
    assert {urlsplit(row["image"]).path for row in rows} == {"/data/local-files/"}
    assert rows[0]["suggested_label"] == "Free"
    assert "like pictures/images/a b&c.png in test" in rows[1]["reason"]
    assert "brightness 3, most have about 120" in rows[2]["reason"]


def test_the_interface_reads_columns_that_the_list_has_and_offers_every_class(tmp_path: Path) -> None:
    review, manifest = scene(tmp_path / "data")
    write_queue(review, manifest, tmp_path / "out")
    with (tmp_path / "out/to_review.csv").open(encoding="utf-8") as file:
        columns = next(csv.reader(file))
    text = (tmp_path / "out/label_studio.xml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$(\w+)", text)) <= set(columns)
    tree = ElementTree.fromstring(text)
    assert [choice.get("value") for choice in tree.iter("Choice")] == ["Crack", "Free"]
    (choices,) = tree.iter("Choices")
    assert choices.get("toName") in {image.get("name") for image in tree.iter("Image")}


def test_class_names_are_text_in_the_interface() -> None:
    tree = ElementTree.fromstring(labelling_interface(('a"b', "<c>&")))
    assert [choice.get("value") for choice in tree.iter("Choice")] == ['a"b', "<c>&"]


def test_the_sheet_shows_the_pictures_and_an_empty_list_leaves_none(tmp_path: Path) -> None:
    review, manifest = scene(tmp_path / "data")
    write_queue(review, manifest, tmp_path / "out")
    with Image.open(tmp_path / "out/to_review.png") as sheet:
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(100_000) or []}
    assert {(0, 0, 0), (60, 60, 60), (120, 120, 120)} <= colours
    empty = review.model_copy(update={"label_issues": (), "near_duplicates": (), "outliers": ()})
    write_queue(empty, manifest, tmp_path / "out")
    assert not (tmp_path / "out/to_review.png").exists()
    assert len((tmp_path / "out/to_review.csv").read_text().splitlines()) == 1
