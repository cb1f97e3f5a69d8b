"""Loading: copies, checks, and an earlier state kept when something is wrong."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dataset.annotations import read_mask
from dataset.data_source import DataSource
from dataset.description import DataDescription
from dataset.load import load, main
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams
from runtime.model.image import decode_image
from tests.dataset.picture_files import make_folder, make_magnetic_tiles, save, texture

REPOSITORY = Path(__file__).parents[2]
PARAMS = DataParams(near_duplicate_correlation=0.9)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiles")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def folder(root: Path, groups: Path | None = None) -> DataSource:
    return DataSource(source="folder", path=str(root), groups=str(groups or ""))


def state(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_pictures_are_copied_measured_and_listed(root: Path, data_dir: Path) -> None:
    originals = state(root)
    load(folder(root), data_dir, PARAMS)
    manifest = Manifest.read(data_dir / "pictures.csv")
    assert len(manifest.table) == 12
    for row in manifest.table.to_dict("records"):
        data = (data_dir / row["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert decode_image(data).shape == (row["height"], row["width"], 3)
    assert set(manifest.table["split"]) == {""}
    assert state(root) == originals
    assert not any(path.is_symlink() or path.stat().st_nlink > 1 for path in (data_dir / "pictures").rglob("*.png"))
    assert (data_dir / "pictures" / "masks").is_dir()
    assert DataDescription.read(data_dir).name == "tiles"
    assert sorted(path.name for path in data_dir.iterdir()) == [
        ".written",
        "description.json",
        "pictures",
        "pictures.csv",
    ]


def test_two_shots_of_one_object_share_a_group(root: Path, data_dir: Path) -> None:
    table = load(folder(root), data_dir, PARAMS).table
    objects = table["path"].str.extract(r"images/(\w+/object\d)")[0]
    assert table.groupby(objects)["group"].nunique().max() == 1
    assert table["group"].nunique() == 6


def test_size_is_that_of_the_upright_picture(root: Path, data_dir: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(texture(50, 40, 60)).save(root / "bad" / "turned.jpg", exif=exif)
    table = load(folder(root), data_dir, PARAMS).table.set_index("path")
    row = table.loc["pictures/images/bad/turned.jpg"]
    assert (row["width"], row["height"]) == (40, 60)


def test_large_picture_is_decoded_at_reduced_scale_and_its_whole_size_is_noted(root: Path, data_dir: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large = np.kron(texture(51, 125, 250), np.ones((16, 16), dtype=np.uint8))
    Image.fromarray(large).save(root / "bad" / "large.jpg", exif=exif)
    table = load(folder(root), data_dir, PARAMS).table.set_index("path")
    row = table.loc["pictures/images/bad/large.jpg"]
    assert (row["width"], row["height"]) == (2000, 4000)


def test_all_unreadable_pictures_are_named_together_and_the_earlier_state_is_kept(root: Path, data_dir: Path) -> None:
    load(folder(root), data_dir, PARAMS)
    before = state(data_dir)
    (root / "bad" / "empty.png").write_bytes(b"")
    whole = (root / "bad" / "object0_shot0.png").read_bytes()
    (root / "good" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "good" / "text.jpg").write_text("no picture")
    (root / "good" / "dangling.png").symlink_to("absent.png")
    with pytest.raises(ManifestError, match=r"3 picture\(s\) cannot be read") as caught:
        load(folder(root), data_dir, PARAMS)
    for name in ("bad/empty.png (the file is empty)", "good/cut.png (the image is truncated", "text.jpg"):
        assert name in str(caught.value)
    for name in (
        "1 file(s) cannot be read from their disk: ",
        "dangling.png (a link to absent.png, which is not there)",
    ):
        assert name in str(caught.value)
    assert state(data_dir) == before


def test_same_bytes_under_two_labels_are_refused_with_both_names(root: Path, data_dir: Path) -> None:
    (root / "bad" / "copy.png").write_bytes((root / "good" / "object0_shot0.png").read_bytes())
    with pytest.raises(ManifestError, match=r"bad/copy\.png \(label bad\) and .*good/object0_shot0\.png \(label good"):
        load(folder(root), data_dir, PARAMS)


def test_same_bytes_with_one_label_share_a_group_even_without_structure(root: Path, data_dir: Path) -> None:
    for name in ("flat0.png", "flat1.png"):
        save(root / "bad" / name, np.full((40, 40), 9, dtype=np.uint8))
    table = load(folder(root), data_dir, PARAMS).table.set_index("path")
    assert table["group"]["pictures/images/bad/flat0.png"] == table["group"]["pictures/images/bad/flat1.png"]


def test_groups_that_were_stated_are_kept_and_contradictions_refused(
    root: Path, data_dir: Path, tmp_path: Path
) -> None:
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    groups = tmp_path / "groups.csv"
    groups.write_text("path,group,line\n" + "".join(f"{name},own{i},L1\n" for i, name in enumerate(names)))
    table = load(folder(root, groups), data_dir, PARAMS).table
    assert table["group"].nunique() == 12
    assert set(table["attributes.line"]) == {"L1"}
    (root / names[1]).write_bytes((root / names[0]).read_bytes())
    first, second = (re.escape(str(root / name)) for name in names[:2])  # the user's: nothing is copied yet
    with pytest.raises(ManifestError, match=f"same bytes but different groups: {first} .*own0.* {second} .*own1"):
        load(folder(root, groups), data_dir, PARAMS)


def test_a_second_source_replaces_the_first_wholly(root: Path, data_dir: Path, tmp_path: Path) -> None:
    load(folder(root), data_dir, PARAMS)
    photos = make_magnetic_tiles(tmp_path / "photos", num_tiles=1)
    load(DataSource(source="magnetic-tile", path=str(photos)), data_dir, PARAMS)
    table = Manifest.read(data_dir / "pictures.csv").table
    files = {path.relative_to(data_dir).as_posix() for path in (data_dir / "pictures").rglob("*") if path.is_file()}
    assert files == set(table["path"]) | set(table["mask"]) | {"pictures/boxes.csv"}
    description = DataDescription.read(data_dir)
    assert description.name == "magnetic-tile"
    assert description.regions == description.objects == ("Blowhole",)
    boxes = pd.read_csv(data_dir / "pictures/boxes.csv")
    assert boxes["path"].tolist() == table.loc[table["label"] == "Blowhole", "path"].tolist()
    assert (boxes[["left", "top", "right", "bottom"]].to_numpy() == (30, 20, 90, 60)).all()
    for label, mask in table[["label", "mask"]].itertuples(index=False):
        assert set(np.unique(read_mask(data_dir / mask))) == ({0, 1} if label == "Blowhole" else {0})
    assert table.groupby("label")["group"].nunique().to_dict() == {"Blowhole": 1, "Free": 1}
    assert set(table["attributes.exposure"]) == set("123456")


def test_output_linked_into_a_cache_is_not_written_through(root: Path, data_dir: Path, tmp_path: Path) -> None:
    load(folder(root), data_dir, PARAMS)
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("description.json", "pictures.csv", "pictures/images/bad/object0_shot0.png"):
        os.link(data_dir / name, cache / Path(name).name)
    before = state(cache)
    load(folder(make_folder(tmp_path / "others", ("bad", "worse"))), data_dir, PARAMS)
    assert state(cache) == before


def test_a_source_that_went_away_is_refused(root: Path, data_dir: Path) -> None:
    with pytest.raises(ManifestError, match="is not there any more"):
        load(folder(root / "absent"), data_dir, PARAMS)


def test_loading_twice_gives_the_same_table_and_the_command_says_what_it_did(root: Path, data_dir: Path) -> None:
    folder(root).write(data_dir / "source.yaml")
    load(folder(root), data_dir, PARAMS)
    before = state(data_dir)
    command = [sys.executable, "-m", "dataset.load", "--source", str(data_dir / "source.yaml"), "--data", str(data_dir)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert state(data_dir) == before
    assert "loaded 12 pictures of 2 classes in 6 groups" in run.stderr


def test_the_command_fails_with_one_clear_line(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", str(data_dir / "source.yaml"), "--data", str(data_dir)]) == 2
    assert capsys.readouterr().err.endswith("Run make data first\n")


def test_the_tiny_data_set_is_whole_and_split(tiny_tiles_dir: Path) -> None:
    manifest = Manifest.read(tiny_tiles_dir / "manifest.csv")
    assert len(manifest.table) == 144
    assert len(manifest.classes) == 6
    assert manifest.attributes == ["exposure"]
    for split in ("train", "val", "test"):
        assert len(manifest.select(split).classes) == 6
        assert len(manifest.select(split, "image").classes) == 6
    for name in [*manifest.table["path"], *manifest.table["mask"]]:
        assert (tiny_tiles_dir / name).is_file()
