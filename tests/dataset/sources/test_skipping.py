"""What may be left out if the user says so: listed, said, and never a class, a disk's fault or the normal class."""

import csv
import logging
from pathlib import Path

import pytest
import yaml

from dataset import load as loading
from dataset.data_source import DataSource
from dataset.description import DataDescription
from dataset.examine import examine
from dataset.load import load, main
from dataset.manifest import Manifest, ManifestError
from dataset.params import DataParams
from dataset.source import decide_source
from dataset.source import main as choose
from dataset.sources.folder_options import SkipName
from tests.dataset.picture_files import make_folder, save, texture

PARAMS = DataParams(near_duplicate_correlation=0.9)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiles")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def folder(root: Path, *skip: SkipName, normal_class: str = "") -> DataSource:
    return DataSource(source="folder", path=str(root), skip=skip, normal_class=normal_class)


def break_pictures(root: Path, number: int) -> None:
    for index in range(number):
        (root / "bad" / f"broken{index:02}.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_broken_pictures_are_refused_before_anything_is_copied_and_all_of_them_are_listed(
    root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_pictures(root, 12)
    monkeypatch.setattr(loading, "copy_pictures", lambda *_: pytest.fail("a refused folder is copied"))
    with pytest.raises(ManifestError) as caught:
        load(folder(root), data_dir, PARAMS)
    message = str(caught.value)
    assert "12 picture(s) cannot be read: " in message
    assert "and 2 more. Repair or remove them, or leave them out: make data DATA=... SKIP=unreadable" in message
    assert message.endswith(f"All are listed in {data_dir / 'unreadable.csv'}")
    listed = rows_of(data_dir / "unreadable.csv")
    assert [row["path"] for row in listed] == [str(root / "bad" / f"broken{index:02}.png") for index in range(12)]
    assert {row["label"] for row in listed} == {"bad"}
    assert all(row["reason"] for row in listed)


def test_broken_pictures_are_left_out_if_the_user_says_so_and_the_list_goes_when_they_are_mended(
    root: Path, data_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    break_pictures(root, 12)
    with pytest.raises(ManifestError):
        load(folder(root), data_dir, PARAMS)
    with caplog.at_level(logging.WARNING):
        table = load(folder(root, "unreadable"), data_dir, PARAMS).table
    assert len(table) == 12
    assert not table["path"].str.contains("broken").any()
    assert not list(data_dir.rglob("broken*"))
    assert len(rows_of(data_dir / "skipped.csv")) == 12
    assert not (data_dir / "unreadable.csv").exists()
    assert caplog.messages[-1].startswith(f"left out: 12 picture(s), each listed in {data_dir / 'skipped.csv'}: ")
    assert DataDescription.read(data_dir).summary.endswith("Left out: 12 picture(s) that cannot be read.")
    for path in root.rglob("broken*"):
        path.unlink()
    load(folder(root, "unreadable"), data_dir, PARAMS)
    assert not (data_dir / "skipped.csv").exists()
    assert DataDescription.read(data_dir).summary == "Pictures from the folder tiles, one class a folder."


def test_a_class_that_would_be_empty_is_refused_with_its_format(root: Path, data_dir: Path) -> None:
    (root / "ugly").mkdir()
    for number in range(3):
        (root / "ugly" / f"{number}.heic").write_bytes(b"\0\0\0\x1cftypheic" + bytes(200))
    with pytest.raises(ManifestError, match=r"^no picture can be read of class\(es\) ugly \(3 picture\(s\); .*HEIC"):
        load(folder(root), data_dir, PARAMS)
    with pytest.raises(ManifestError, match=r"^no picture can be read of class\(es\) ugly .*Repair or remove them$"):
        load(folder(root, "unreadable", "rare"), data_dir, PARAMS)


def test_a_file_that_its_disk_does_not_give_is_never_left_out(root: Path, data_dir: Path) -> None:
    (root / "good" / "gone.png").symlink_to("absent.png")
    with pytest.raises(ManifestError, match=r"1 file\(s\) cannot be read from their disk: .*gone\.png"):
        load(folder(root, "unreadable"), data_dir, PARAMS)


def test_rare_classes_are_left_out_if_the_user_says_so(root: Path, data_dir: Path) -> None:
    make_folder(root, ("rare", "once"), num_objects=2)
    (root / "once" / "object1_shot0.png").unlink()
    (root / "once" / "object1_shot1.png").unlink()
    for index, path in enumerate(sorted((root / "rare").iterdir()) + sorted((root / "once").iterdir())):
        save(path, texture(500 + index // 2))
    assert len(load(folder(root), data_dir, PARAMS).classes) == 4
    manifest = load(folder(root, "rare"), data_dir, PARAMS)
    assert manifest.classes == ("bad", "good")
    assert not (data_dir / "pictures" / "images" / "rare").exists()
    listed = rows_of(data_dir / "skipped.csv")
    assert len(listed) == 6
    assert {(row["label"], row["reason"]) for row in listed} == {
        ("rare", "its class has 2 object(s), and a split needs 3"),
        ("once", "its class has 1 object(s), and a split needs 3"),
    }
    assert DataDescription.read(data_dir).summary.endswith(
        "Left out: the rare class once (2 picture(s)), the rare class rare (4 picture(s))."
    )
    assert len(Manifest.read(data_dir / "pictures.csv").table) == 12


def test_rare_classes_are_kept_where_too_little_or_no_normal_class_would_be_left(root: Path, data_dir: Path) -> None:
    for path in (root / "good").glob("object[12]*"):
        path.unlink()
    with pytest.raises(ManifestError, match=r"without the rare class\(es\) good \(1 object\(s\)\) fewer than 2"):
        load(folder(root, "rare"), data_dir, PARAMS)
    make_folder(root, ("ugly",))
    for index, path in enumerate(sorted((root / "ugly").iterdir())):
        save(path, texture(700 + index))
    with pytest.raises(ManifestError, match=r"the normal class is rare and would be left out: good"):
        load(folder(root, "rare", normal_class="good"), data_dir, PARAMS)


def test_a_picture_that_changes_while_it_is_loaded_is_refused(
    root: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examine_then_change(*arguments: object) -> object:
        facts = examine(*arguments)  # type: ignore[arg-type]
        save(root / "bad" / "object0_shot0.png", texture(900))
        return facts

    monkeypatch.setattr(loading, "examine", examine_then_change)
    with pytest.raises(ManifestError, match=r"object0_shot0\.png \(it has changed while it was loaded\)"):
        load(folder(root), data_dir, PARAMS)
    assert not (data_dir / "pictures").exists()


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [
        (["--skip-unreadable"], ["unreadable"]),
        (["--skip-rare", "--skip-unreadable"], ["unreadable", "rare"]),
        (["--skip", "rare, unreadable"], ["unreadable", "rare"]),
        (["--skip=rare", "--skip-rare"], ["rare"]),
        (["--skip", ""], None),
    ],
)
def test_what_may_be_left_out_is_noted_with_the_source(
    root: Path, data_dir: Path, arguments: list[str], noted: list[str] | None
) -> None:
    out = data_dir / "source.yaml"
    assert choose([str(root), *arguments, "--out", str(out)]) == 0
    assert yaml.safe_load(out.read_text()).get("skip") == noted
    assert choose(["--out", str(out)]) == 0
    assert yaml.safe_load(out.read_text()).get("skip") == noted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--skip", "broken"], r"SKIP='broken': broken is not known; it takes unreadable, rare"),
        (["--classes", "inner"], r"CLASSES='inner' is not known; it takes top"),
    ],
)
def test_an_unknown_option_is_refused(
    root: Path, data_dir: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose([str(root), *arguments, "--out", str(data_dir / "source.yaml")]) == 2
    assert message in capsys.readouterr().err


def test_options_of_a_folder_are_refused_for_other_sources(data_dir: Path) -> None:
    with pytest.raises(ManifestError, match="synthetic-tiles is taken as it is; SKIP=rare is for a folder of your own"):
        decide_source("synthetic-tiles", "", None, data_dir / "source.yaml", skip="rare")
    with pytest.raises(ManifestError, match="CLASSES=top given without pictures"):
        decide_source("", "", None, data_dir / "source.yaml", classes="top")


def test_the_whole_way_from_a_divided_folder_with_a_strange_name(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / b"caf\xe9 $x".decode("utf-8", "surrogateescape")
    make_folder(root / "train")
    for index, path in enumerate(sorted(make_folder(root / "test").rglob("*.png"))):
        save(path, texture(800 + index))
    break_pictures(root / "train", 1)
    source, data = ["--out", str(data_dir / "source.yaml")], ["--data", str(data_dir)]
    assert choose([str(root), *source]) == 0
    assert main(["--source", str(data_dir / "source.yaml"), *data]) == 2
    assert "is divided into test, train" in capsys.readouterr().err
    assert choose([str(root), "--classes", "top", "--skip-unreadable", *source]) == 0
    assert main(["--source", str(data_dir / "source.yaml"), *data]) == 0
    assert Manifest.read(data_dir / "pictures.csv").classes == ("test", "train")
    assert DataDescription.read(data_dir).name == r"caf\xe9 $x"
    assert rows_of(data_dir / "skipped.csv")[0]["path"].endswith("broken00.png")
