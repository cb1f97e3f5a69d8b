"""What a list of pictures may be."""

import os
from pathlib import Path

import pytest

from scoring.pictures import ScoringError, list_pictures, root_of


def test_a_folder_gives_its_pictures_in_order_without_hidden_and_other_files(pictures_dir: Path) -> None:
    for name in (".hidden.png", "notes.txt", ".git/a.png"):
        (pictures_dir / name).parent.mkdir(exist_ok=True)
        (pictures_dir / name).touch()
    expected = [*(f"{n:02d}.png" for n in range(15)), *(f"more/{n}.png" for n in range(15, 20))]
    assert list(list_pictures(pictures_dir)) == expected


def test_a_linked_folder_is_walked_once_and_a_loop_ends(pictures_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.jpg").touch()
    (pictures_dir / "z").symlink_to(tmp_path / "elsewhere")
    (pictures_dir / "more/loop").symlink_to(pictures_dir)
    found = list(list_pictures(pictures_dir))
    assert len(found) == len(set(found)) == 21
    assert "z/far.jpg" in found


def test_a_list_and_a_csv_say_what_is_scored_even_if_it_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a b.jpg\n/abs/c.jpg\n")
    (tmp_path / "list.csv").write_text('label,path\nx,a.jpg\ny,"b,\nc.jpg"\n')
    assert list(list_pictures(tmp_path / "list.txt")) == ["a b.jpg", "/abs/c.jpg"]
    assert list(list_pictures(tmp_path / "list.csv")) == ["a.jpg", "b,\nc.jpg"]
    assert root_of(tmp_path / "list.txt") == tmp_path.resolve()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "file\nx.jpg\n", "has no column 'path', only file"),
        ("a.csv", "", "has no column 'path', only nothing"),
        ("a.csv", "path,label\n,x\n", "line 2 has no path"),
        ("a.txt", "x.jpg\n\ny.jpg\n", "line 2 is empty"),
        ("none.txt", None, "cannot read the list"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ScoringError, match=message) as raised:
        list(list_pictures(tmp_path / name))
    assert name in str(raised.value)


def test_a_name_that_is_not_utf8_is_refused(pictures_dir: Path) -> None:
    (Path(os.fsdecode(bytes(pictures_dir) + b"/\xff.png"))).touch()
    with pytest.raises(ScoringError, match="not UTF-8"):
        list(list_pictures(pictures_dir))
