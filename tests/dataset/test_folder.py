"""Any folder: what is taken, what is left out aloud, what is refused."""

import logging
import shutil
from pathlib import Path

import pytest

from dataset.file_tree import files_below
from dataset.folder import read_folder
from dataset.manifest import ManifestError
from tests.dataset.picture_files import make_folder, save, texture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiles")


def write_groups(tmp_path: Path, root: Path, extra: str = "", encoding: str = "utf-8") -> Path:
    lines = [
        f"{path.relative_to(root).as_posix()},{path.parent.name}-{path.stem[:7]},{path.stem[-1]}"
        for path in files_below(root)
    ]
    groups = tmp_path / "groups.csv"
    groups.write_text("\n".join(["path,group,shot", *lines]) + "\n" + extra, encoding=encoding)
    return groups


def test_every_class_is_a_folder_and_groups_are_left_to_likeness(root: Path) -> None:
    collection = read_folder(root, None)
    assert not collection.has_stated_groups
    assert [picture.label for picture in collection.pictures] == ["bad"] * 6 + ["good"] * 6
    assert {picture.group for picture in collection.pictures} == {""}
    first = collection.pictures[0]
    assert first.path == "pictures/images/bad/object0_shot0.png"
    assert collection.originals[first.path] == root / "bad" / "object0_shot0.png"
    assert collection.description.name == "tiles"
    assert "not stated" in collection.description.group_meaning


def test_pictures_lie_as_deep_as_they_like_and_suffixes_have_any_case(root: Path) -> None:
    save(root / "good" / "2024" / "may" / "x.PNG", texture(70))
    save(root / "good" / "y.TIFF", texture(71))
    deep = [picture for picture in read_folder(root, None).pictures if "may" in picture.path]
    assert [(picture.path, picture.label) for picture in deep] == [("pictures/images/good/2024/may/x.PNG", "good")]
    assert len(read_folder(root, None).pictures) == 14


def test_linked_class_folders_are_followed_and_loops_end(root: Path, tmp_path: Path) -> None:
    shutil.move(root / "good", tmp_path / "elsewhere")
    (root / "good").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    labels = [picture.label for picture in read_folder(root, None).pictures]
    assert labels.count("good") == 6


def test_hidden_files_are_ignored_and_others_are_named_aloud(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "good" / ".DS_Store").write_bytes(b"x")
    (root / ".cache").mkdir()
    save(root / ".cache" / "z.png", texture(1))
    (root / "good" / "notes.txt").write_text("x")
    (root / "README.md").write_text("x")
    with caplog.at_level(logging.WARNING):
        assert len(read_folder(root, None).pictures) == 12
    assert caplog.messages == ["2 file(s) are no pictures by name and are left out: README.md, good/notes.txt"]


def test_a_groups_file_gives_groups_and_attributes(root: Path, tmp_path: Path) -> None:
    collection = read_folder(root, write_groups(tmp_path, root))
    assert collection.has_stated_groups
    assert collection.pictures[1].group == "bad-object0"
    assert collection.pictures[1].attributes == {"shot": "1"}
    assert collection.description.group_meaning == "object named in the groups file"


def test_a_groups_file_saved_by_a_spreadsheet_is_read(root: Path, tmp_path: Path) -> None:
    groups = write_groups(tmp_path, root, encoding="utf-8-sig")
    groups.write_bytes(groups.read_bytes().replace(b"\n", b"\r\n").replace(b"bad/object0", b"./bad/object0"))
    assert read_folder(root, groups).pictures[0].group == "bad-object0"


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("good/absent.png,x,0\n", r"names file\(s\) that do not exist: good/absent\.png"),
        ("good/object0_shot0.png,x,0\n", r"more than once: good/object0_shot0\.png"),
    ],
)
def test_a_groups_file_with_a_wrong_row_is_refused(root: Path, tmp_path: Path, extra: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_folder(root, write_groups(tmp_path, root, extra))


def test_a_picture_without_a_row_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    groups = write_groups(tmp_path, root)
    save(root / "good" / "new.png", texture(9))
    with pytest.raises(ManifestError, match=r"groups\.csv has no row for picture\(s\): good/new\.png"):
        read_folder(root, groups)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,group\na,b\n", "has no column path; it has file, group"),
        ("path;group\na;b\n", "has no column path and group"),
        ("", r"cannot read the groups file .*groups\.csv"),
    ],
)
def test_a_groups_file_without_the_columns_is_refused(root: Path, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(ManifestError, match=message):
        read_folder(root, tmp_path / "groups.csv")


def test_an_empty_class_folder_is_refused_by_name(root: Path) -> None:
    (root / "ugly").mkdir()
    with pytest.raises(ManifestError, match=r"without a picture: ugly"):
        read_folder(root, None)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="at least 2 classes are needed, got 1: bad"):
        read_folder(make_folder(tmp_path / "one", ("bad",)), None)


def test_pictures_outside_class_folders_are_refused_by_name(root: Path) -> None:
    save(root / "loose.png", texture(1))
    with pytest.raises(ManifestError, match=r"1 picture\(s\) lie in .* itself and so have no class: loose\.png"):
        read_folder(root, None)


def test_a_folder_without_pictures_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no pictures in class folders: expected .*/<class>/<picture>"):
        read_folder(tmp_path, None)


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "Val", "Test"), ("training", "validation")])
def test_folders_that_are_splits_are_refused_with_the_way_to_merge(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        make_folder(tmp_path / "set" / name)
    with pytest.raises(ManifestError, match=r"splits by itself, by object.*mkdir merged && cp -r"):
        read_folder(tmp_path / "set", None)


def test_a_class_may_be_named_test_beside_others(tmp_path: Path) -> None:
    assert len(read_folder(make_folder(tmp_path / "set", ("test", "good")), None).pictures) == 12


def test_the_normal_class_is_noted_and_must_be_a_class(root: Path) -> None:
    assert read_folder(root, None, "good").description.normal_class == "good"
    with pytest.raises(ManifestError, match="'fine' is to be the normal class, but the classes are bad, good"):
        read_folder(root, None, "fine")
