"""What a node cannot read for its own reasons never becomes a row that is kept."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from runtime.model.session import Predictor
from scoring import merge, score, shard
from scoring.pictures import ScoringError
from scoring.pipeline import Scorer

NODE = socket.gethostname()


def plan_run(source: Path, run_dir: Path, model_dir: Path, size: int = 6) -> None:
    assert shard.main([str(source), str(run_dir), "--model", str(model_dir), "--pictures-per-shard", str(size)]) == 0


def results(run_dir: Path) -> list[str]:
    return sorted(path.name for path in (run_dir / "results").iterdir())


def errors(run_dir: Path) -> list[str]:
    assert merge.main([str(run_dir)]) == 0
    found: list[str] = pq.read_table(run_dir / "scores.parquet")["error"].drop_null().to_pylist()
    return found


@pytest.mark.parametrize("there", ["nothing", "a file"])
def test_a_node_without_the_pictures_folder_fails_by_name_and_scores_once_it_is_there(
    pictures_dir: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir, size=1)
    shutil.move(pictures_dir, tmp_path / "aside")
    if there == "a file":
        pictures_dir.touch()
    assert score.main([str(tmp_path / "run"), "--allow-unreadable"]) == 2
    message = capsys.readouterr().err
    assert f"{pictures_dir}, where the plan has its pictures, is no directory on {NODE}" in message
    assert results(tmp_path / "run") == []
    pictures_dir.unlink(missing_ok=True)
    shutil.move(tmp_path / "aside", pictures_dir)
    assert score.main([str(tmp_path / "run")]) == 0
    assert errors(tmp_path / "run") == []


def test_a_list_of_absolute_paths_needs_no_folder_of_its_own(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    source = tmp_path / "lists/all.txt"
    source.write_text("".join(f"{path}\n" for path in sorted(pictures_dir.rglob("*.png"))))
    plan_run(source, tmp_path / "run", model_dir)
    shutil.rmtree(tmp_path / "lists")
    assert score.main([str(tmp_path / "run")]) == 0
    assert errors(tmp_path / "run") == []


def test_an_empty_mount_point_fails_unless_the_pictures_are_said_to_be_gone(
    pictures_dir: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir, size=20)
    shutil.rmtree(pictures_dir)
    pictures_dir.mkdir()
    assert score.main([str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err
    assert f"{NODE} can read none of the 20 pictures of a shard below {pictures_dir}" in message
    assert "--allow-unreadable" in message
    assert results(tmp_path / "run") == []
    assert score.main([str(tmp_path / "run"), "--allow-unreadable"]) == 0
    assert errors(tmp_path / "run") == ["unreadable_file"] * 20
    assert "20 errors (20 unreadable_file)" in capsys.readouterr().out


def test_one_picture_that_can_be_read_shows_that_the_others_are_gone(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir, size=20)
    for path in sorted(pictures_dir.rglob("*.png"))[1:]:
        path.unlink()
    assert score.main([str(tmp_path / "run")]) == 0
    assert errors(tmp_path / "run") == ["unreadable_file"] * 19


def test_a_shard_of_a_few_missing_pictures_is_taken_for_what_it_is(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir, size=17)
    for name in ("more/17.png", "more/18.png", "more/19.png"):
        (pictures_dir / name).unlink()
    assert score.main([str(tmp_path / "run")]) == 0
    assert errors(tmp_path / "run") == ["unreadable_file"] * 3


def test_a_folder_that_goes_while_a_shard_is_scored_fails_the_shard(
    pictures_dir: Path, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir, size=20)

    def unmounting(self: Scorer, root: Path, paths: list[str]) -> Iterator[object]:
        yield from whole(self, root, paths[:5])
        shutil.move(root, tmp_path / "aside")
        root.mkdir()
        yield from whole(self, root, paths[5:])

    whole = Scorer.score
    monkeypatch.setattr(Scorer, "score", unmounting)
    assert score.main([str(tmp_path / "run")]) == 2
    assert f"{pictures_dir} was mounted or replaced on {NODE}" in capsys.readouterr().err
    assert results(tmp_path / "run") == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_an_error_that_may_be_the_nodes_is_raised_and_not_written(
    pictures_dir: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_to_open(monkeypatch, "03.png", number)
    scorer = Scorer.of(Predictor.load(model_dir), "v", batch_size=2, num_workers=2)
    with pytest.raises(ScoringError, match=rf"{NODE} cannot read .*03\.png: {os.strerror(number)}\. .* run again"):
        list(scorer.score(pictures_dir, [f"{i:02d}.png" for i in range(10)]))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENAMETOOLONG, errno.ELOOP])
def test_an_error_of_the_file_is_its_row(
    pictures_dir: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_to_open(monkeypatch, "03.png", number)
    scorer = Scorer.of(Predictor.load(model_dir), "v", batch_size=2, num_workers=2)
    rows = list(scorer.score(pictures_dir, [f"{i:02d}.png" for i in range(10)]))
    assert [(row.path, row.error, row.message) for row in rows if row.error] == [
        ("03.png", "unreadable_file", os.strerror(number))
    ]


def fail_to_open(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def failing(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == name:
            raise OSError(number, os.strerror(number))
        return really(self, *arguments, **options)

    really = Path.open
    monkeypatch.setattr(Path, "open", failing)
