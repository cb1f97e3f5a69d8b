"""Any folder: what is taken, what is left out aloud, what is refused."""

import logging
import os
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dataset.manifest import ManifestError
from dataset.sources.file_tree import IMAGE_SUFFIXES
from dataset.sources.folder import read_folder
from tests.dataset.picture_files import make_folder, save, texture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiles")


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


def test_linked_class_folders_are_followed_and_loops_end(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.move(root / "good", tmp_path / "elsewhere")
    (root / "good").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    labels = [picture.label for picture in read_folder(root, None).pictures]
    assert labels.count("good") == 6
    assert caplog.messages == [
        "2 link(s) lead to a folder that is read already and are passed over: good/again, good/loop"
    ]


@pytest.mark.parametrize("place", ["worse", "good/more", "a"])
def test_a_folder_linked_into_two_classes_is_refused_with_both_names(root: Path, place: str) -> None:
    (root / place).symlink_to(root / "bad")
    with pytest.raises(
        ManifestError, match=rf"({place} \(the same folder as .*/bad|/bad \(the same folder as .*{place}): leave one"
    ):
        read_folder(root, None)


def test_what_leads_nowhere_at_the_top_is_refused_and_in_a_class_is_left_to_decoding(root: Path) -> None:
    (root / "good" / "gone.png").symlink_to("absent.png")
    (root / "good" / "lost").symlink_to("lost")
    listed = [picture.path for picture in read_folder(root, None).pictures]
    assert "pictures/images/good/gone.png" in listed
    assert "pictures/images/good/lost" in listed
    (root / "ugly").symlink_to(root / "absent")
    with pytest.raises(ManifestError, match=r"ugly \(No such file or directory\).*Is it a class"):
        read_folder(root, None)


def test_a_pipe_called_a_picture_is_refused_and_no_other_is_waited_for(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(root / "good" / "queue")
    assert len(read_folder(root, None).pictures) == 12
    assert caplog.messages == ["1 pipe(s), socket(s) or device(s) are left out: good/queue"]
    os.mkfifo(root / "good" / "x.png")
    with pytest.raises(ManifestError, match=r"no picture but a pipe, socket or device: .*good/x\.png\. Remove it"):
        read_folder(root, None)


def test_what_systems_leave_is_passed_over_aloud(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "good" / ".DS_Store").write_bytes(b"x")
    for folder in ("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "lost+found", ".Trash-1000", ".cache"):
        save(root / folder / "z.png", texture(1))
        save(root / "good" / folder / "z.png", texture(1))
    for name in ("Thumbs.db", "desktop.ini", "bad.jpg@SynoEAStream", ".nfs00000000000a1b2c"):
        (root / "bad" / name).write_bytes(b"x")
    (root / "good" / "._object0_shot0.png").write_bytes(b"\0\x05\x16\x07" + bytes(200))
    assert len(read_folder(root, None).pictures) == 12
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("20 file(s) or folder(s) of the system are passed over: #recycle/, ")


def test_a_name_that_begins_with_a_number_after_its_dot_is_a_class(root: Path) -> None:
    save(root / ".5mm" / ".001.png", texture(3))
    assert "pictures/images/.5mm/.001.png" in [picture.path for picture in read_folder(root, None).pictures]


@pytest.mark.parametrize("place", [".ugly/x.png", "good/.old/x.png", ".a/b/x.jpg"])
def test_pictures_in_hidden_folders_are_refused_by_name(root: Path, place: str) -> None:
    save(root / place, texture(3))
    folder = place.rsplit("/", 1)[0]
    with pytest.raises(ManifestError, match=rf"pictures lie in hidden folder\(s\) of .*: {re.escape(folder)}\. Rename"):
        read_folder(root, None)


def test_hidden_files_and_no_pictures_are_named_aloud(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(root / "good" / ".x.png", texture(1))
    (root / ".config").mkdir()
    (root / ".config" / "tool").write_text("x")
    (root / "good" / "notes.txt").write_text("x")
    (root / "good" / "table").write_text("x")
    (root / "good" / "all.cbz").write_bytes(b"PK\x03\x04" + bytes(100))
    (root / "good" / "x.part").write_bytes(b"")
    (root / "BMW.nfo").write_text("BMW is no bitmap")
    (root / "README.md").write_text("x")
    with caplog.at_level(logging.WARNING):
        assert len(read_folder(root, None).pictures) == 12
    assert caplog.messages == [
        "6 file(s) are no pictures and are left out (1 nfo, 1 md, 1 ZIP archive, 1 txt, 1 without an ending, 1 empty): "
        "BMW.nfo, README.md, good/all.cbz, good/notes.txt, good/table, good/x.part",
        "2 hidden file(s) are left out: .config/tool, good/.x.png",
    ]


@pytest.mark.parametrize(
    ("name", "image_format"),
    [
        ("x.jfif", "JPEG"), ("x.jpe", "JPEG"), ("photo.jpg?w=640", "JPEG"), ("x", "JPEG"), ("x.img", "PNG"),
        ("x.", "PNG"), ("x.20240501", "TIFF"), ("2024.05.01 10:00", "WEBP"), ("x.JPG_large", "JPEG"),
        ("x.jpg.bak", "BMP"), ("x.gif", "GIF"), (".1x", "PNG"),
    ],
)  # fmt: skip
def test_where_the_ending_says_nothing_the_content_tells(root: Path, name: str, image_format: str) -> None:
    Image.fromarray(texture(70)).save(root / "good" / name, image_format)
    assert f"pictures/images/good/{name}" in [picture.path for picture in read_folder(root, None).pictures]


@pytest.mark.parametrize("brand", ["heic", "avif"])
def test_a_format_that_cannot_be_read_is_left_to_decoding_and_not_left_out(root: Path, brand: str) -> None:
    (root / "good" / f"x.{brand}").write_bytes(b"\0\0\0\x1cftyp" + brand.encode() + bytes(200))
    assert f"pictures/images/good/x.{brand}" in [picture.path for picture in read_folder(root, None).pictures]


def test_a_class_of_other_files_is_refused_with_what_it_holds(root: Path) -> None:
    (root / "ugly").mkdir()
    for name in ("a.txt", "b.txt", "c.mp4"):
        (root / "ugly" / name).write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"without a picture: ugly \(3 file\(s\): 2 txt, 1 mp4\)\. Add pictures"):
        read_folder(root, None)


def test_a_name_that_is_not_utf8_is_refused_readably(root: Path) -> None:
    for number, name in enumerate((b"caf\xe9.png", b"na\xefve/x.png")):
        save(root / "good" / os.fsdecode(name), texture(number))
    with pytest.raises(
        ManifestError, match=r"2 name\(s\) in .* are not UTF-8: good/caf\\xe9\.png, good/na\\xefve/x\.png"
    ):
        read_folder(root, None)


def test_a_class_whose_name_is_not_utf8_and_holds_no_picture_is_named_readably(root: Path) -> None:
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(ManifestError, match=r"without a picture: caf\\xe9\."):
        read_folder(root, None)


def test_a_file_that_is_no_picture_may_have_any_name(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "good" / os.fsdecode(b"caf\xe9\n.txt")).write_text("x")
    assert len(read_folder(root, None).pictures) == 12
    assert "good/caf\\xe9\\n.txt" in caplog.text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\rb.png", r"a\\rb"), ("a\nb.png", r"a\\nb"), ("a\tb.png", r"a\\tb"), ("Icon\x7f.png", r"\\x7f"),
        ("a\u2028b.png", r"a\\u2028b"), ("new\rline/x.png", r"new\\rline"),
    ],
)  # fmt: skip
def test_a_name_with_a_control_character_is_refused_readably(root: Path, name: str, shown: str) -> None:
    save(root / "good" / name, texture(1))
    with pytest.raises(ManifestError, match=rf"line end, a tab or another control character: good/.*{shown}.*Rename"):
        read_folder(root, None)


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("Good", "good", "'Good' and 'good'"),
        ("caf\u00e9", "cafe\u0301", r"'cafe\u0301' \(cafe\\u0301\) and 'caf\u00e9' \(caf\\xe9\)"),
        ("good ", "good", "'good ' and|and 'good '"),
        ("not  ok", "not ok", "'not  ok' and 'not ok'"),
        ("good\u200b", "good", r"good\\u200b"),
        ("10\u00b5m", "10\u03bcm", r"\\xb5.*\\u03bc"),
        ("good (2)", "good", r"'good' and 'good \(2\)'"),
        ("Good - Copy", "good", "'Good - Copy' and 'good'"),
        ("STRASSE", "stra\u00dfe", "'STRASSE' and"),
    ],
)
def test_classes_whose_names_look_alike_are_refused_with_both(
    tmp_path: Path, first: str, second: str, shown: str
) -> None:
    root = make_folder(tmp_path / "set", (first, second), num_objects=1)
    with pytest.raises(ManifestError, match=rf"likely one class: .*({shown}).*one folder.*CLASSES=top"):
        read_folder(root, None)
    assert len({picture.label for picture in read_folder(root, None, classes="top").pictures}) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("A", "a"), ("+", "-"), ("a,b", "c=d"), ("say 'x'", 'say "y"'), (" good", "bad "), ("x" * 255, "y" * 255),
        ("\U0001f600", "\U0001f469\u200d\U0001f680"), ("nan", "NULL"), ("1", "01"), ("$x$", "%d"), ("<b>", "&amp;"),
        ("n...5", "#1"), ("M (1)", "M (2)"), ("copy", "original"), ("\u0633\u0627\u0644\u0645", "\u5408\u683c"),
    ],
)  # fmt: skip
def test_any_other_name_is_a_class(tmp_path: Path, names: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    root = make_folder(tmp_path / "set", names, num_objects=1)
    assert {picture.label for picture in read_folder(root, None).pictures} == set(names)
    assert not caplog.messages


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
    with pytest.raises(ManifestError, match=r"splits by itself, by object.*merged.*ln -sn"):
        read_folder(tmp_path / "set", None)


def test_a_class_may_be_named_test_beside_others(tmp_path: Path) -> None:
    assert len(read_folder(make_folder(tmp_path / "set", ("test", "good")), None).pictures) == 12


def test_the_normal_class_is_noted_and_must_be_a_class(root: Path) -> None:
    assert read_folder(root, None, "good").description.normal_class == "good"
    with pytest.raises(ManifestError, match="'fine' is to be the normal class, but the classes are bad, good"):
        read_folder(root, None, "fine")


def test_the_page_names_the_endings_that_are_taken_and_its_example_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/FOLDERS.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\.\w+)`", page.split("ending of a format that is read (")[1].split(")")[0])
    assert sorted(listed) == sorted(IMAGE_SUFFIXES)
    for number, path in enumerate(("good/a.jpg", "good/b.png", "good/monday/c.webp", "bad/d.jpg")):
        save(tmp_path / path, texture(number))
    assert [picture.label for picture in read_folder(tmp_path, None).pictures] == ["bad", "good", "good", "good"]


def test_a_groups_file_in_the_folder_itself_is_not_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{path.relative_to(root).as_posix()},{number}" for number, path in enumerate(root.rglob("*.png"))]
    (root / "groups.csv").write_text("\n".join(["path,group", *rows]))
    collection = read_folder(root, root / "groups.csv")
    assert collection.has_stated_groups
    assert collection.description.group_meaning == "object named in the groups file"
    assert sorted(picture.group for picture in collection.pictures) == sorted(map(str, range(12)))
    assert not caplog.messages


def test_further_columns_of_a_groups_file_are_attributes(root: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(root).as_posix()};{path.parent.name}-{path.stem[:7]};{path.stem[-1]}"
            for path in root.rglob("*.png")]  # fmt: skip
    (tmp_path / "groups.csv").write_text("\n".join(["Path;Group;shot", *rows]))
    picture = read_folder(root, tmp_path / "groups.csv").pictures[1]
    assert (picture.group, picture.attributes) == ("bad-object0", {"shot": "1"})


@pytest.mark.parametrize(
    ("name", "content"), [("x.tga", b"\0\0\2" + bytes(15)), ("x.gif", b""), ("x.HEIC", b"\0" * 64)]
)
def test_a_picture_of_a_format_that_is_not_read_is_never_left_out_as_none(
    tmp_path: Path, name: str, content: bytes
) -> None:
    make_folder(tmp_path)
    (tmp_path / "good" / name).write_bytes(content)
    assert f"good/{name}" in {path.split("images/")[1] for path in read_folder(tmp_path, None).originals}
