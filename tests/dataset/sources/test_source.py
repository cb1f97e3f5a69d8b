"""Deciding the source, and leaving the file alone while nothing changes."""

import os
import re
from pathlib import Path

import pytest
import yaml

from dataset.data_source import DataSource
from dataset.manifest import ManifestError
from dataset.source import decide_source, main
from tests.dataset.picture_files import make_folder, save, texture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiles")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "source.yaml"


def test_without_a_word_the_drawn_tiles_are_taken(out: Path) -> None:
    assert main(["--out", str(out)]) == 0
    assert yaml.safe_load(out.read_text()) == {
        "source": "synthetic-tiles",
        "path": "",
        "groups": "",
        "normal_class": "",
        "fingerprint": "",
    }


@pytest.mark.parametrize("empty", [[], [""]])
def test_without_a_word_the_earlier_choice_is_kept(out: Path, root: Path, empty: list[str]) -> None:
    assert main([str(root), "--out", str(out)]) == 0
    before = out.read_text()
    assert main([*empty, "--out", str(out)]) == 0
    assert out.read_text() == before


def test_a_name_is_a_source_and_a_directory_is_told_by_its_layout(out: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "MT_Free" / "Imgs").mkdir(parents=True)
    assert decide_source("synthetic-tiles", "", None, out).source == "synthetic-tiles"
    assert decide_source("magnetic-tile", "", None, out) == DataSource(source="magnetic-tile")
    assert decide_source(str(tmp_path / "photos"), "", None, out).source == "magnetic-tile"
    assert decide_source(str(tmp_path / "photos"), "", "folder", out).source == "folder"
    assert decide_source(str(root), "", None, out).source == "folder"


def test_a_relative_path_stays_relative(out: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert decide_source("tiles", "", None, out).path == "tiles"


def test_the_file_keeps_its_time_while_nothing_changes(out: Path, root: Path) -> None:
    main([str(root), "--out", str(out)])
    os.utime(out, (1, 1))
    main(["--out", str(out)])
    assert out.stat().st_mtime == 1


def test_every_kind_of_change_changes_the_fingerprint(out: Path, root: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    groups.write_text("path,group\n")
    victim = root / "bad" / "object0_shot0.png"

    def fingerprint() -> str:
        return decide_source(str(root), str(groups), None, out).fingerprint

    seen = [fingerprint()]
    assert fingerprint() == seen[0]
    save(root / "bad" / "new.png", texture(5))
    seen.append(fingerprint())
    victim.rename(victim.with_name("renamed.png"))
    seen.append(fingerprint())
    os.utime(victim.with_name("renamed.png"), (1, 1))
    seen.append(fingerprint())
    groups.write_text("path,group\na,b\n")
    seen.append(fingerprint())
    assert len(set(seen)) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is not there.*synthetic-tiles, magnetic-tile"),
        (["tiles/bad/object0_shot0.png"], "is a file, not a directory"),
        (["tiles", "--groups", "absent.csv"], r"the groups file absent\.csv is not there"),
        (["--groups", "absent.csv"], "given without pictures"),
        (["--source", "folder"], "needs a directory"),
        (["tiles", "--source", "synthetic-tiles"], "are drawn and not read from tiles"),
        (["magnetic-tile", "--source", "folder"], "asked for magnetic-tile and for --source folder"),
        (["tiles", "--source", "magnetic-tile", "--groups", "g.csv"], "brings its own groups"),
    ],
)
def test_what_cannot_be_is_refused_on_one_line(
    arguments: list[str],
    message: str,
    out: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root.parent)
    assert main([*arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(f"^error: .*{message}", error), error
    assert not out.exists()


def test_a_directory_that_went_away_is_an_error(out: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(root), "--out", str(out)])
    root.rename(root.with_name("moved"))
    assert main(["--out", str(out)]) == 2
    assert "is not there" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "source: cloud\n", "source: folder\nextra: 1\n", "a: [", "\x00"])
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "source.yaml").write_text(text)
    with pytest.raises(ManifestError, match=r"source\.yaml is no data source"):
        DataSource.read(tmp_path / "source.yaml")


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Run make data first"):
        DataSource.read(tmp_path / "source.yaml")


def test_a_normal_class_is_kept_for_a_folder_and_refused_for_a_source_that_names_its_own(out: Path, root: Path) -> None:
    assert decide_source(str(root), "", None, out, "good").normal_class == "good"
    with pytest.raises(ManifestError, match="says itself which class is normal"):
        decide_source("synthetic-tiles", "", None, out, "good")
    with pytest.raises(ManifestError, match="without pictures"):
        decide_source("", "", None, out, "good")


def test_split_new_forgets_the_sides_once_and_keeps_a_copy(tmp_path: Path) -> None:
    out = tmp_path / "source.yaml"
    (tmp_path / "sides.csv").write_text("sides")
    (tmp_path / "manifest.csv").write_text("manifest")
    assert main(["--split", "new", "--out", str(out)]) == 0
    noted = out.read_text()
    assert "new" not in noted
    assert sorted(path.read_text() for path in (tmp_path / "kept").iterdir()) == ["manifest", "sides"]
    assert not (tmp_path / "sides.csv").exists()
    assert main(["--split", "new", "--out", str(out)]) == 0  # nothing is left to forget
    assert out.read_text() == noted


def test_a_word_that_says_nothing_of_the_split_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--split", "again", "--out", str(tmp_path / "source.yaml")]) == 2
    assert "SPLIT='again' is not known; it takes" in capsys.readouterr().err
