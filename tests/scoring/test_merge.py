"""Counts must add up: what is missing, foreign, mixed or doubled is refused by name."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoring import merge, score, shard
from tests.onnx_fixture import write_tiny_model


@pytest.fixture
def run_dir(pictures_dir: Path, model_dir: Path, tmp_path: Path) -> Path:
    """A run of 4 shards, all scored."""
    (pictures_dir / "bad.jpg").write_text("no picture")
    run_dir = tmp_path / "run"
    assert shard.main([str(pictures_dir), str(run_dir), "--model", str(model_dir), "--pictures-per-shard", "6"]) == 0
    assert score.main([str(run_dir)]) == 0
    return run_dir


def refusal(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert merge.main([str(run_dir)]) == 2
    assert not (run_dir / "scores.parquet").exists()
    assert not list(run_dir.glob("*.tmp"))
    return capsys.readouterr().err


def rewrite(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path)


def test_the_summary_counts_every_picture(run_dir: Path) -> None:
    assert merge.main([str(run_dir)]) == 0
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["labels"] == {"blue": 6, "green": 7, "red": 7}
    assert summary["errors"] == {"unsupported_format": 1}
    assert (summary["num_pictures"], summary["num_scored"], summary["num_errors"]) == (21, 20, 1)
    assert pq.read_table(run_dir / "scores.parquet").num_rows == 21


def test_a_missing_shard_is_named(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_dir / "results/00002.parquet").unlink()
    assert "1 of 4 shard(s) have no result: 00002" in refusal(run_dir, capsys)


def test_a_foreign_file_is_named(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(run_dir / "results/00000.parquet", run_dir / "results/00009.parquet")
    assert "no shard of this plan: 00009.parquet" in refusal(run_dir, capsys)


def test_one_shards_result_in_place_of_anothers_is_named(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(run_dir / "results/00000.parquet", run_dir / "results/00001.parquet")
    assert "00001.parquet holds other pictures than the plan's shard 1" in refusal(run_dir, capsys)


def test_a_result_of_another_model_is_named(
    run_dir: Path, pictures_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_model(tmp_path / "other_model", scale=3)
    arguments = [str(pictures_dir), str(tmp_path / "other"), "--model", str(tmp_path / "other_model")]
    assert shard.main([*arguments, "--pictures-per-shard", "6"]) == 0
    assert score.main([str(tmp_path / "other")]) == 0
    shutil.copy(tmp_path / "other/results/00003.parquet", run_dir / "results/00003.parquet")
    error = refusal(run_dir, capsys)
    assert "00003.parquet was scored by the model" in error


def test_a_row_that_was_swapped_for_a_double_is_found(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_dir / "results/00001.parquet"
    table = pq.read_table(path)
    rewrite(path, table.take([0, 1, 2, 3, 4, 4]))
    assert "00001.parquet has rows of other pictures" in refusal(run_dir, capsys)


def test_a_row_with_neither_label_nor_error_is_found(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_dir / "results/00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("label")
    rewrite(path, table.set_column(place, table.schema.field(place), pa.array([None] * 6, pa.string())))
    assert "neither or both of label and error" in refusal(run_dir, capsys)


def test_results_with_other_columns_are_named(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_dir / "results/00002.parquet"
    rewrite(path, pq.read_table(path).drop(["abstained"]))
    assert "00002.parquet has other columns" in refusal(run_dir, capsys)


def test_what_killed_tasks_left_is_cleared_once_all_is_merged(run_dir: Path) -> None:
    (run_dir / "results/00000.parquet.node1.7.tmp").write_bytes(b"half")
    assert merge.main([str(run_dir)]) == 0
    assert sorted(path.name for path in (run_dir / "results").iterdir()) == [f"{n:05d}.parquet" for n in range(4)]
