"""Pictures whose class, or boxes, a list says: a CSV of path and label, and the metadata of an `imagefolder`."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataset.box_formats.source_boxes import SourceBox
from dataset.boxes import boxes_file
from dataset.data_source import DataSource
from dataset.load import load
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams
from dataset.source import main as note_source
from dataset.sources.folder import read_folder
from dataset.sources.folder_options import SplitWord
from dataset.sources.source_picture import Collection
from tests.dataset.picture_files import save, texture

CSV = "path,label\na.png,good\nb.png,good\nc.png,bad\nd.png,bad\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four small pictures in no folders."""
    for number, name in enumerate("abcd"):
        save(tmp_path / "flat" / f"{name}.png", texture(number, 24, 32))
    return tmp_path / "flat"


def read(root: Path, content: str | bytes, split: SplitWord = "", groups: str = "") -> Collection:
    """Read the pictures with a list that lies beside their folder."""
    path = root.parent / "labels.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    if groups:
        (root.parent / "groups.csv").write_text(groups)
    return read_folder(root, root.parent / "groups.csv" if groups else None, split=split, labels_csv=path)


def labels(collection: Collection) -> dict[str, str]:
    return {picture.path.removeprefix("pictures/images/"): picture.label for picture in collection.pictures}


GOOD = {"a.png": "good", "b.png": "good", "c.png": "bad", "d.png": "bad"}


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        CSV.replace(",", ";"),
        CSV.replace(",", "\t").encode("utf-16"),
        CSV.replace("path,label", "Class,Image").replace("a.png,good", "good,a.png").replace("b.png,good", "good,b.png")
        .replace("c.png,bad", "bad,c.png").replace("d.png,bad", "bad,d.png"),
        CSV.replace(".png", ""),
        CSV.replace("path,label", "file_name,category").replace("a.png", "flat/a.png"),
        "sep=|\n" + CSV.replace(",", "|"),
    ],
    ids=["comma", "semicolon", "tab", "other names and order", "no endings", "the folder's name", "sep"],
)  # fmt: skip
def test_a_csv_says_the_class_of_pictures_in_no_folders(root: Path, content: str | bytes) -> None:
    assert labels(read(root, content)) == GOOD


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("file,species\na.png,x\n", r"labels\.csv, line 1 has no column for the label, which is called label, class"),
        ("name,label\na.png,x\n", r"labels\.csv, line 1 has no column for the path"),
        ("path,image,label\na.png,a.png,x\n", r"line 1 has several columns for path: path, image, label"),
        (CSV + "e.png,bad\n", r"1 row\(s\) name no picture that is there: e\.png \(\S*labels\.csv, line 6\)"),
        (CSV + "a.png,bad\n", r"several labels: a\.png \('good' in \S*labels\.csv, line 2 and 'bad' in \S*, line 6\)"),
        (CSV + "a.png,bad\n", r"multi-label\) are not made"),
        (CSV + "a.png,good\n", r"1 picture\(s\) have several rows: a\.png \('good' in \S*, line 2 and"),
        (CSV.replace("d.png,bad\n", ""), r"1 picture\(s\) have no row: d\.png"),
        (CSV.replace("d.png,bad", "d.png,"), r"1 row\(s\) have no label: d\.png \(\S*labels\.csv, line 5\)"),
        (CSV.replace("d.png,bad", "d.png,bad,more"), r"line 5 has 'more' in column 3, which has no name"),
        (CSV.replace("d.png,bad", "d.png,Bad"), r"differ in case alone .*'Bad' \(\S*, line 5\), 'bad' \(\S*, line 4\)"),
        (CSV.replace("bad", "good"), r"at least 2 classes are needed, got 1: good"),
        (b"PK\x03\x04" + bytes(50), r"is no CSV but a workbook"),
    ],
)  # fmt: skip
def test_mistakes_in_the_csv_are_refused_with_file_and_line(root: Path, content: str | bytes, problem: str) -> None:
    with pytest.raises(ManifestError, match=problem):
        read(root, content)


def test_a_column_of_objects_states_the_groups_and_others_are_attributes(root: Path) -> None:
    content = "path,label,object,camera\na.png,good,1,left\nb.png,good,1,right\nc.png,bad,2,left\nd.png,bad,3,left\n"
    collection = read(root, content)
    assert collection.has_stated_groups
    assert [picture.group for picture in collection.pictures] == ["1", "1", "2", "3"]
    assert collection.pictures[1].attributes == {"camera": "right"}
    with pytest.raises(ManifestError, match=r"'3' \(\S*csv, line 4\) and '03' \(\S*, line 5\) are likely one object"):
        read(root, content.replace("bad,2", "bad,3").replace("d.png,bad,3", "d.png,bad,03"))
    with pytest.raises(ManifestError, match=r"labels\.csv, line 4: the group '1.2E\+12' is what a spreadsheet wrote"):
        read(root, content.replace("bad,2", "bad,1.2E+12"))
    with pytest.raises(ManifestError, match=r"1 picture\(s\) have no group, and others have: d\.png \(\S*, line 5\)"):
        read(root, content.replace("bad,3", "bad,"))
    with pytest.raises(ManifestError, match=r"stated in .*groups\.csv and in the list"):
        read(root, content, groups="path,group\na.png,1\nb.png,1\nc.png,2\nd.png,3\n")


def test_a_column_of_sides_is_kept_or_forgotten_as_the_user_says(root: Path) -> None:
    content = "path,label,split\na.png,good,train\nb.png,good,validation\nc.png,bad,Train\nd.png,bad,test\n"
    with pytest.raises(ManifestError, match=r"column split of .* LABELS=\S*labels\.csv SPLIT=given .* SPLIT=ours"):
        read(root, content)
    assert [picture.split for picture in read(root, content, "given").pictures] == ["train", "val", "train", "test"]
    assert {picture.split for picture in read(root, content, "ours").pictures} == {""}
    with pytest.raises(ManifestError, match=r"labels\.csv, line 3: the split 'later' is not one of train, val, test"):
        read(root, content.replace("validation", "later"), "given")
    with pytest.raises(ManifestError, match=r"1 picture\(s\) have no split: b\.png \(\S*, line 3\)"):
        read(root, content.replace("validation", ""), "given")


def test_the_csv_is_noted_with_the_pictures_and_loads(root: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(CSV)
    out = tmp_path / "data/source.yaml"
    assert note_source([str(root), "--labels", str(tmp_path / "labels.csv"), "--out", str(out)]) == 0
    source = DataSource.read(out)
    (tmp_path / "labels.csv").write_text(CSV.replace("d.png,bad", "d.png,ugly"))
    assert source.refreshed() != source
    load(source, tmp_path / "data", DataParams(near_duplicate_correlation=0.9))
    table = Manifest.read(tmp_path / "data/pictures.csv").table
    assert sorted(table["label"]) == ["bad", "good", "good", "ugly"]


def test_a_csv_that_is_not_there_is_refused_before_anything(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "data/source.yaml")
    assert note_source([str(root), "--labels", "absent.csv", "--out", out]) == 2
    assert "the labels file absent.csv is not there" in capsys.readouterr().err
    assert note_source(["--labels", "absent.csv", "--out", out]) == 2
    assert "absent.csv given without pictures" in capsys.readouterr().err
    assert note_source([str(root), "--labels", "absent.csv", "--classes", "top", "--out", out]) == 2
    assert "cannot both say the classes" in capsys.readouterr().err


def jsonl(folder: Path, *entries: dict[str, Any]) -> None:
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))


ENTRIES: list[dict[str, Any]] = [{"file_name": name, "label": label, "text": "seen"} for name, label in GOOD.items()]


def test_the_metadata_of_an_imagefolder_say_the_class(root: Path) -> None:
    jsonl(root, *ENTRIES)
    collection = read_folder(root, None)
    assert labels(collection) == GOOD
    assert collection.pictures[0].attributes == {"text": "seen"}
    (root / "metadata.jsonl").unlink()
    (root / "metadata.csv").write_text(CSV.replace("path", "file_name"))
    assert labels(read_folder(root, None)) == GOOD


def test_metadata_in_the_folders_of_parts_give_the_sides(root: Path) -> None:
    for part, names in (("train", "ac"), ("test", "bd")):
        (root / part).mkdir()
        for name in names:
            (root / f"{name}.png").rename(root / part / f"{name}.png")
        jsonl(root / part, *(entry for entry in ENTRIES if entry["file_name"][0] in names))
    with pytest.raises(ManifestError, match=r"is divided into test, train\. .*SPLIT=given .*SPLIT=ours"):
        read_folder(root, None)
    collection = read_folder(root, None, split="given")
    assert labels(collection) == {f"{'train' if name[0] in 'ac' else 'test'}/{name}": GOOD[name] for name in GOOD}
    assert all(picture.split == picture.path.split("/")[2] for picture in collection.pictures)


def test_objects_become_boxes_and_the_class_is_the_largest(root: Path, tmp_path: Path) -> None:
    found = {"bbox": [[2, 3, 4, 5], [10, 10, 8, 8]], "categories": ["pit", "hole"]}
    entries: list[dict[str, Any]] = [{"file_name": f"{name}.png", "objects": found} for name in "abc"]
    jsonl(root, *entries, {"file_name": "d.png", "objects": {"bbox": [], "categories": []}})
    collection = read_folder(root, None)
    assert collection.boxes
    assert collection.boxes["pictures/images/a.png"].boxes[0] == SourceBox("pit", (2, 3, 6, 8))
    load(DataSource(source="folder", path=str(root)), tmp_path / "data", DataParams(near_duplicate_correlation=0.9))
    table = Manifest.read(tmp_path / "data/pictures.csv").table
    assert table["label"].tolist() == ["hole", "hole", "hole", "good"]
    assert "images/a.png,pit,2,3,6,8" in boxes_file(tmp_path / "data").read_text()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"metadata\.jsonl, line 2 is no JSON"),
        ('{"label": "good"}', r"metadata\.jsonl, line 2 has no file_name"),
        ('{"file_name": "b.png"}', r"1 row\(s\) have no label and no objects: b\.png \(\S*, line 2\)"),
        ('{"file_name": "b.png", "label": ["a", "b"]}', r"line 2: the label is a list.*multi-label\) are not made"),
        ('{"file_name": "b.png", "label": 0.5}', r"line 2: the label 0\.5 is no text"),
        ('{"file_name": "x.png", "label": "good"}', r"name no picture that is there: x\.png \(\S*, line 2\)"),
        ('{"file_name": "b.png", "objects": {"bbox": [[1, 2, 3, 4]]}}', r"line 2: objects must have bbox and cat"),
        (
            '{"file_name": "b.png", "objects": {"bbox": [[1, 2, 3]], "categories": ["a"]}}',
            r"line 2: a box has left, top, width and height",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_metadata_are_refused_with_file_and_line(root: Path, line: str, problem: str) -> None:
    jsonl(root, *ENTRIES)
    lines = (root / "metadata.jsonl").read_text().splitlines()
    (root / "metadata.jsonl").write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(ManifestError, match=problem):
        read_folder(root, None)


def test_a_box_outside_its_picture_is_refused_with_its_line(root: Path, tmp_path: Path) -> None:
    found = {"bbox": [[30, 3, 9, 5]], "categories": ["pit"]}
    jsonl(root, *ENTRIES[:3], {"file_name": "d.png", "objects": found})
    with pytest.raises(ManifestError, match=r"metadata\.jsonl, line 4 \(its x goes from 30 to 39"):
        load(DataSource(source="folder", path=str(root)), tmp_path / "data", DataParams(near_duplicate_correlation=0.9))
