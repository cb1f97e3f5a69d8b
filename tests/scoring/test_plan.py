"""A plan is frozen: the list, its order and the model."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ModelContract
from runtime.model.stated_filters import ImageFilter
from scoring import plan as plan_module
from scoring import shard
from scoring.pictures import ScoringError
from scoring.plan import Plan, read_shard, shard_path, write_plan
from tests.onnx_fixture import tiny_contract, write_tiny_model
from tests.service.detecting_models import crop_contract

LOOKING = (ImageFilter(path="hooks.looks:at"),)


def test_every_picture_is_in_exactly_one_shard(pictures_dir: Path, model_dir: Path, tmp_path: Path) -> None:
    plan = write_plan(pictures_dir, tmp_path / "run", "m", model_dir, pictures_per_shard=6)
    assert plan == Plan.read(tmp_path / "run")
    assert [shard.num_pictures for shard in plan.shards] == [6, 6, 6, 2]
    listed = [path for index, shard in enumerate(plan.shards) for path in read_shard(tmp_path / "run", index, shard)]
    assert len(set(listed)) == len(listed) == plan.num_pictures == 20


def test_planning_again_changes_nothing_and_another_list_or_model_is_refused(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    write_plan(pictures_dir, run_dir, "m", model_dir, 6)
    before = {path: path.stat().st_mtime_ns for path in (run_dir / "shards").iterdir()}
    write_plan(pictures_dir, run_dir, "m", model_dir, 6)
    assert {path: path.stat().st_mtime_ns for path in (run_dir / "shards").iterdir()} == before
    (pictures_dir / "new.png").touch()
    with pytest.raises(ScoringError, match=r"another run: num_pictures, shards differ"):
        write_plan(pictures_dir, run_dir, "m", model_dir, 6)
    (pictures_dir / "new.png").unlink()
    write_tiny_model(model_dir, scale=3)
    with pytest.raises(ScoringError, match=r"another run: model_sha256 differ"):
        write_plan(pictures_dir, run_dir, "m", model_dir, 6)
    assert {path: path.stat().st_mtime_ns for path in (run_dir / "shards").iterdir()} == before


def test_a_picture_listed_twice_is_refused_by_name_and_no_plan_is_left(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\na.jpg\n")
    with pytest.raises(ScoringError, match=r"lists 1 picture\(s\) more than once, such as a.jpg"):
        write_plan(tmp_path / "list.txt", tmp_path / "run", "m", model_dir, 2)
    with pytest.raises(ScoringError, match=r"plan.json: No such file"):
        Plan.read(tmp_path / "run")


def test_two_names_with_one_hash_are_not_taken_for_one(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "_hash64", lambda name: 7)
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg\n")
    assert write_plan(tmp_path / "list.txt", tmp_path / "run", "m", model_dir, 2).num_pictures == 2


def test_an_empty_folder_and_a_missing_one_are_refused(model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScoringError, match="holds no picture"):
        write_plan(tmp_path / "empty", tmp_path / "run", "m", model_dir, 2)
    with pytest.raises(ScoringError, match="there is no"):
        write_plan(tmp_path / "nothing", tmp_path / "run", "m", model_dir, 2)


def test_a_shard_that_was_changed_after_planning_is_refused(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    plan = write_plan(pictures_dir, tmp_path / "run", "m", model_dir, 6)
    table = pq.read_table(shard_path(tmp_path / "run", 0))
    pq.write_table(table.slice(1).append_column("x", [[1] * 5]).drop(["x"]), shard_path(tmp_path / "run", 0))
    with pytest.raises(ScoringError, match=r"00000.parquet is not the shard"):
        read_shard(tmp_path / "run", 0, plan.shards[0])


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        (crop_contract(), "classifies crops of what a detector found, and pictures are scored as wholes"),
        (tiny_contract().model_copy(update={"filters": LOOKING}), "filters that look at pixels (hooks.looks:at)"),
    ],
    ids=["of crops", "with a filter of pixels"],
)
def test_a_model_that_cannot_score_pictures_is_refused_before_a_task_starts(
    contract: ModelContract, message: str, pictures_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
    (tmp_path / ONNX_FILE).write_bytes(b"not read")
    assert shard.main([str(pictures_dir), str(tmp_path / "run"), "--model", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
