"""The manifest: what is written is what is read, and a broken one is refused."""

from pathlib import Path

import pandas as pd
import pytest

from dataset.manifest import BOXES_SHA256, COLUMNS, MASK_SHA256, Manifest, ManifestError


def table(num_rows: int = 6) -> pd.DataFrame:
    rows = [
        {
            "path": f"pictures/images/NA/{index}, 'quoted\" ä.png",
            "label": "NA" if index % 2 else "null",
            "group": f"{index:03d}",
            "split": ("train", "val", "test")[index % 3],
            "split_by_image": ("test", "train", "val")[index % 3],
            "sha256": f"{index:064x}",
            "width": 10 + index,
            "height": 20,
            "mask": "",
            "attributes.exposure": "007",
        }
        for index in range(num_rows)
    ]
    return pd.DataFrame(rows)


def written(tmp_path: Path, frame: pd.DataFrame) -> Path:
    path = tmp_path / "manifest.csv"
    frame.to_csv(path, index=False)
    return path


def test_what_is_written_is_read_back_text_for_text(tmp_path: Path) -> None:
    manifest = Manifest(table(), tmp_path)
    manifest.write(tmp_path / "deep" / "manifest.csv")
    again = Manifest.read(tmp_path / "deep" / "manifest.csv")
    assert again.table.to_dict("records") == table().to_dict("records")
    assert again.root == tmp_path / "deep"
    assert again.sha256 == manifest.sha256
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["manifest.csv"]


def test_class_names_that_look_like_missing_values_stay_names(tmp_path: Path) -> None:
    Manifest(table(), tmp_path).write(tmp_path / "m.csv")
    assert Manifest.read(tmp_path / "m.csv").classes == ("NA", "null")


def test_the_hash_sees_a_changed_split(tmp_path: Path) -> None:
    other = table()
    other.loc[0, "split"] = "test"
    assert Manifest(other, tmp_path).sha256 != Manifest(table(), tmp_path).sha256


def with_masks(digest: str) -> pd.DataFrame:
    frame = table().assign(mask="mask.png")
    frame.insert(list(frame.columns).index("mask") + 1, MASK_SHA256, digest)
    return frame


def test_a_corrected_mask_is_other_data_of_segmentation_alone(tmp_path: Path) -> None:
    without = Manifest(table().assign(mask="mask.png"), tmp_path)
    before, after = (Manifest(with_masks(digest), tmp_path) for digest in ("a", "b"))
    before.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv").data_sha256("segmentation") == before.data_sha256("segmentation")
    assert before.data_sha256("segmentation") != after.data_sha256("segmentation")
    of_pictures = {m.data_sha256("classification") for m in (before, after, without)}
    assert of_pictures == {before.sha256, after.sha256, without.sha256}
    assert len(of_pictures) == 1, "the digits that models of classification have always had"


def with_boxes(digest: str) -> pd.DataFrame:
    frame = with_masks("a")
    frame.insert(list(frame.columns).index(MASK_SHA256) + 1, BOXES_SHA256, digest)
    return frame


def test_a_corrected_box_is_other_data_of_detection_alone(tmp_path: Path) -> None:
    without = Manifest(with_masks("a"), tmp_path)
    before, after = (Manifest(with_boxes(digest), tmp_path) for digest in ("a", "b"))
    assert before.data_sha256("detection") != after.data_sha256("detection")
    other_mask = Manifest(before.table.assign(**{MASK_SHA256: "b"}), tmp_path)
    assert other_mask.data_sha256("detection") == before.data_sha256("detection")
    for task in ("segmentation", "classification"):
        assert before.data_sha256(task) == after.data_sha256(task) == without.data_sha256(task), task


def test_a_manifest_of_an_earlier_version_has_the_hash_that_its_models_name(tmp_path: Path) -> None:
    earlier = Manifest(table().assign(mask="mask.png"), tmp_path)
    assert earlier.is_without_mask_hashes
    assert earlier.data_sha256("segmentation") == earlier.sha256
    assert not Manifest(with_masks("a"), tmp_path).is_without_mask_hashes
    assert not Manifest(table(), tmp_path).is_without_mask_hashes, "there are no masks"


def test_select_takes_the_rows_of_a_split_under_each_protocol(tmp_path: Path) -> None:
    manifest = Manifest(table(), tmp_path)
    assert manifest.select("test").table["group"].tolist() == ["002", "005"]
    assert manifest.select("test", "image").table["group"].tolist() == ["000", "003"]
    assert manifest.select("test").table.index.tolist() == [0, 1]


def test_attributes_are_named_without_their_prefix(tmp_path: Path) -> None:
    assert Manifest(table(), tmp_path).attributes == ["exposure"]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    path = written(tmp_path, table().drop(columns=column))
    with pytest.raises(ManifestError, match=rf"manifest\.csv is not a manifest: column\(s\) {column} missing"):
        Manifest.read(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split", "tset", "split of .* is 'tset'"),
        ("split_by_image", "validation", "split_by_image of .* is 'validation'"),
        ("width", "wide", "width and height must be whole numbers"),
        ("height", "", "width and height must be whole numbers"),
        ("path", table()["path"][1], r"lists 1 picture\(s\) more than once"),
    ],
)
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, column: str, value: str, message: str) -> None:
    frame = table().astype(str)
    frame.loc[0, column] = value
    with pytest.raises(ManifestError, match=message):
        Manifest.read(written(tmp_path, frame))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x81", b'path,label\n"a'])
def test_a_file_that_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(ManifestError, match=r"m\.csv"):
        Manifest.read(tmp_path / "m.csv")


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot read the manifest .*absent\.csv"):
        Manifest.read(tmp_path / "absent.csv")
