"""Groups files as people and spreadsheets write them: read where that can be done in one way, else refused by line."""

import re
from pathlib import Path

import pytest

from dataset.manifest import ManifestError
from dataset.sources.groups_csv import read_groups

PICTURES = ["bad/a.png", "bad/b.png", "good/a.png", "good/b.png"]
GROUPS = {"bad/a.png": "007", "bad/b.png": "7a", "good/a.png": "é", "good/b.png": "x, y"}
HEADER = "path,group\n"
ROWS = "bad/a.png,1\nbad/b.png,2\ngood/a.png,3\ngood/b.png,4\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tiles"
    for path in PICTURES:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    return folder


def written(root: Path, content: str | bytes) -> Path:
    path = root.parent / "groups.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def groups_of(root: Path, content: str | bytes, pictures: list[str] | None = None) -> dict[str, str]:
    facts = read_groups(written(root, content), root, PICTURES if pictures is None else pictures)
    return {path: row["group"] for path, row in facts.items()}


def test_groups_and_attributes_are_text_as_it_stands(root: Path) -> None:
    content = 'path,group,Line\nbad/a.png,007,1.50\nbad/b.png,7a,\ngood/a.png,"é",L2\ngood/b.png,"x, y","a ""b"""\n'
    facts = read_groups(written(root, content), root, PICTURES)
    assert {path: row["group"] for path, row in facts.items()} == GROUPS
    assert [facts[path]["Line"] for path in PICTURES] == ["1.50", "", "L2", 'a "b"']


CSV = 'path,group\nbad/a.png,007\nbad/b.png,7a\ngood/a.png,é\ngood/b.png,"x, y"\n'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CSV.replace(",", ";").replace("x; y", "x, y"), id="semicolons"),
        pytest.param(CSV.replace(",", "\t").replace("x\t y", "x, y"), id="tabs"),
        pytest.param(CSV.replace(",", "|").replace("x| y", "x, y"), id="bars"),
        pytest.param("sep=;\n" + CSV.replace(",", ";").replace("x; y", "x, y"), id="sep"),
        pytest.param('"sep=,"\r\n' + CSV.replace("\n", "\r\n"), id="quoted sep, CRLF"),
        pytest.param("\ufeff" + CSV, id="byte-order mark"),
        pytest.param(CSV.encode("cp1252"), id="Windows-1252"),
        pytest.param(CSV.encode("utf-16"), id="UTF-16"),
        pytest.param(CSV.replace(",", "\t").replace("x\t y", "x, y").encode("utf-16"), id="Excel's Unicode text"),
        pytest.param(CSV.encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(CSV.encode("utf-16-be"), id="UTF-16 BE without a mark"),
        pytest.param(CSV.replace("\n", "\r"), id="old Mac line ends"),
        pytest.param(CSV.replace("/", "\\"), id="backslashes"),
        pytest.param(CSV.replace("\n", ",,\n"), id="trailing commas"),
        pytest.param(CSV.replace("\n", "\n\n") + ",,\n , \n", id="empty rows"),
        pytest.param("\n\n" + CSV, id="empty rows before the header"),
        pytest.param(CSV.replace("path,group", "Path,GROUP"), id="capitals"),
        pytest.param(CSV.replace("path,group", '" path ","group"'), id="quoted header with spaces"),
        pytest.param(CSV.replace("path,group", "group,path").replace("bad/a.png,007", "007,bad/a.png")
                     .replace("bad/b.png,7a", "7a,bad/b.png").replace("good/a.png,é", "é,good/a.png")
                     .replace('good/b.png,"x, y"', '"x, y",good/b.png'), id="columns changed"),
        pytest.param(CSV.replace(",", ", ").replace("x,  y", "x, y"), id="spaces after commas"),
        pytest.param(CSV.replace("\nbad/", "\n./bad/").replace("\ngood/", "\ntiles/good//"), id="prefixes"),
        pytest.param(re.sub(r"\n(bad|good)/", r"\nC:\\Users\\x\\tiles\\\1\\", CSV), id="a Windows disk"),
        pytest.param(re.sub(r"\n(bad|good)/", r"\n\\\\nas\\sets\\Tiles\\\1\\", CSV), id="a network share"),
        pytest.param(CSV.replace("bad/a.png", "BAD/A.PNG"), id="case of the path"),
        pytest.param(CSV.replace("007", '"=""007"""').replace("7a", '="7a"'), id="text formulas"),
        pytest.param(CSV.rstrip("\n"), id="no last line end"),
        pytest.param(CSV.replace("\ngood/a.png", '\n"good/a.png"'), id="quoted path"),
    ],
)  # fmt: skip
def test_what_spreadsheets_write_is_read(root: Path, content: str | bytes) -> None:
    assert groups_of(root, content) == GROUPS


def test_absolute_paths_are_read_through_links(root: Path) -> None:
    (root.parent / "linked").symlink_to(root)
    content = HEADER + re.sub(r"(?m)^(bad|good)", rf"{root.parent}/linked/\1", ROWS)
    assert groups_of(root, content)["good/b.png"] == "4"
    assert (
        groups_of(root.parent / "linked", HEADER + re.sub(r"(?m)^(bad|good)", rf"{root}/\1", ROWS))["bad/a.png"] == "1"
    )


def test_a_path_in_another_unicode_form_is_read_where_one_picture_alone_fits(root: Path) -> None:
    composed, apart = "good/caf\u00e9.png", "good/cafe\u0301.png"
    for one, other in ((composed, apart), (apart, composed)):
        assert groups_of(root, f"{HEADER}{one},1\n", [other]) == {other: "1"}
        assert groups_of(root, f"{HEADER}{one},1\n{other},2\n", [one, other]) == {one: "1", other: "2"}
    with pytest.raises(ManifestError, match="do not exist: good/CAF"):
        groups_of(root, f"{HEADER}good/CAF\u00c9.png,1\n", [composed, apart])


def test_a_name_with_a_backslash_is_found_as_it_stands(root: Path) -> None:
    pictures = ["good/a\\b.png", "good/a/b.png"]
    assert groups_of(root, HEADER + "good/a\\b.png,1\ngood/a/b.png,2\n", pictures) == dict(
        zip(pictures, "12", strict=True)
    )


def test_a_class_called_as_the_folder_is_not_mistaken_for_it(root: Path) -> None:
    pictures = ["good/a.png", "tiles/good/a.png"]
    content = HEADER + "good/a.png,1\ntiles/good/a.png,2\n"
    assert groups_of(root, content, pictures) == {"good/a.png": "1", "tiles/good/a.png": "2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"groups\.csv is empty\. Its first line must be path,group"),
        ("\n\n", r"groups\.csv is empty"),
        (ROWS, r"line 1 names a picture already: the header is missing"),
        ("\n" + ROWS, r"line 2 names a picture already: the header is missing"),
        ("file,group\na,b\n", r"has no column path; it has file, group\. Its first line"),
        ("file;object\na;b\n", r"has no column path and group; it has file, object"),
        ("sep=;\n" + HEADER + ROWS, r"no column path and group; it has path,group \(line 1 says that ';' separates\)"),
        ("path,group,group\n" + ROWS, r"line 1 has the column\(s\) group more than once"),
        ("path,Path,group\n" + ROWS, r"line 1 has the column\(s\) path more than once"),
        ("path,group,a,a\n" + ROWS, r"line 1 has the column\(s\) a more than once"),
        (HEADER + ROWS + "good/no.png,x\n", r"names file\(s\) that do not exist: good/no\.png \(line 6\)\. Paths are"),
        (HEADER + "\n" + ROWS + "\ngood/a.png,x\n", r"more than once: good/a\.png \(lines 5 and 8\)"),
        (HEADER + ROWS.replace("good/b.png,4\n", ""), r"has no row for picture\(s\): good/b\.png\. It needs one row"),
        (HEADER + ROWS.replace(",3", ","), r"has no group for picture\(s\): good/a\.png \(line 4\)"),
        (HEADER + ROWS.replace(",3", ""), r"has no group for picture\(s\): good/a\.png \(line 4\)"),
        (HEADER + ROWS.replace(",3", ',"  "'), r"has no group for picture\(s\): good/a\.png \(line 4\)"),
        (HEADER + ROWS + ",5\n", r"do not exist: no path \(line 6\)"),
        (HEADER + ROWS.replace(",3", ",3,5"), r"line 4 has '5' in column 3, which has no name"),
        ("path,group,\n" + ROWS.replace(",3", ",3,5"), r"line 4 has '5' in column 3, which has no name"),
        (HEADER + ROWS.replace("3", '"3'), r"line 4: a quote is opened and never closed"),
        (HEADER + ROWS.replace("3", '"3"x'), r"line 4: .*a quote within a quoted cell must be doubled"),
        (HEADER + ROWS + "good/notes.txt,5\n", r"names file\(s\) that are no pictures: good/notes\.txt \(line 6\)"),
        (HEADER + "a\0b,1\n", r"line 2 holds a zero byte"),
        (b"PK\x03\x04" + bytes(100), r"is no CSV but a workbook \(\.xlsx or \.ods\)\. Save it as 'CSV UTF-8"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), r"is no CSV but an old Excel workbook"),
        ("path,group\ngood/\x81.png,1\n".encode("latin-1"), r"line 2 is not UTF-8, nor is it Windows-1252\. Save it"),
        (b"\xef\xbb\xbf" + "path,group\né,1\n".encode("cp1252"), r"line 2 is not UTF-8, as its first bytes say"),
        (HEADER + re.sub("(?m)^", "/else/plates/", ROWS.strip()), r"do not exist: .*relative to .*tiles, like bad"),
        ((HEADER + ROWS + "good/ä.png,5\n").encode("cp850"), r"do not exist: .*was read as Windows-1252"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_in_one_way_is_refused_with_its_line(
    root: Path, content: str | bytes, message: str
) -> None:
    (root / "good" / "notes.txt").write_text("x")
    with pytest.raises(ManifestError, match=message):
        groups_of(root, content)


@pytest.mark.parametrize("shortened", ["1.23457E+12", "2,5E+15", "1E-05", "#N/A", "#NAME?", "#######"])
def test_what_a_spreadsheet_wrote_instead_of_a_group_is_refused(root: Path, shortened: str) -> None:
    with pytest.raises(ManifestError, match=rf"line 3: the group '{re.escape(shortened)}' is what a spreadsheet wrote"):
        groups_of(root, HEADER + ROWS.replace("b.png,2", f'b.png,"{shortened}"'))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"), ("007", "7"), ("7", "+7"), ("12", "12,00"), ("caf\u00e9", "cafe\u0301"), ("a b", "a  b"),
        ("x", "x\u200b"),
    ],
)  # fmt: skip
def test_one_object_written_in_two_ways_is_refused_with_both_lines(root: Path, one: str, other: str) -> None:
    content = HEADER + f'bad/a.png,"{one}"\nbad/b.png,"{other}"\ngood/a.png,"{one}"\ngood/b.png,z\n'
    with pytest.raises(
        ManifestError, match=r"csv, line 2\) and .*csv, line 3\) are likely one object written in two ways"
    ):
        groups_of(root, content)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "10"), ("1.5", "1"), ("1.10", "1.1"), ("A-1", "A1"), ("1E5", "100000")]
)
def test_different_texts_are_different_objects(root: Path, one: str, other: str) -> None:
    groups = groups_of(root, HEADER + f"bad/a.png,{one}\nbad/b.png,{other}\ngood/a.png,{one}\ngood/b.png,z\n")
    assert groups["bad/a.png"] == groups["good/a.png"] == one
    assert groups["bad/b.png"] == other


def test_groups_that_differ_in_case_are_kept_apart_aloud(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    groups_of(root, HEADER + "bad/a.png,t1\nbad/b.png,T1\ngood/a.png,t2\ngood/b.png,t3\n")
    (message,) = caplog.messages
    assert message.startswith("groups that differ in case alone are taken as different objects: T1 (")
    assert re.search(r"csv, line 3\) and t1 \(.*csv, line 2\)$", message)


def test_a_guessed_encoding_is_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    groups_of(root, CSV.encode("cp1252"))
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("groups.csv is not UTF-8 and is read as Windows-1252")


def test_a_file_that_is_not_there_is_refused_by_name(root: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot read absent\.csv: No such file"):
        read_groups(Path("absent.csv"), root, PICTURES)
