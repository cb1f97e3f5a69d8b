"""Exactly one row a picture, whatever the pictures are and whenever the process is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from runtime.model.preprocess import read_for_model
from runtime.model.session import Predictor
from runtime.model.stated_filters import HookFilter
from scoring import merge, score, shard
from scoring.results import MODEL_KEY
from tests.onnx_fixture import tiny_contract, write_tiny_model
from tests.onnx_segmenter import segmentation_contract, write_segmenter
from tests.overflowing_model import WHITE, write_overflowing_model

REPOSITORY = Path(__file__).parent.parent.parent


def plan_run(source: Path, run_dir: Path, model_dir: Path, size: int = 6, task: str = "classification") -> None:
    arguments = [str(source), str(run_dir), "--task", task, "--model", str(model_dir)]
    assert shard.main([*arguments, "--pictures-per-shard", str(size)]) == 0


def scored(run_dir: Path, *options: str) -> pa.Table:
    assert score.main([str(run_dir), *options]) == 0
    assert merge.main([str(run_dir)]) == 0
    return pq.read_table(run_dir / "scores.parquet")


def results(run_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run_dir / "results").iterdir())}


def test_every_picture_gets_what_the_service_would_say(pictures_dir: Path, model_dir: Path, tmp_path: Path) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir)
    for task in (1, 0):
        assert score.main([str(tmp_path / "run"), "--task", str(task), "--tasks", "2", "--batch-size", "4"]) == 0
    assert merge.main([str(tmp_path / "run")]) == 0
    table = pq.read_table(tmp_path / "run/scores.parquet")
    predictor = Predictor.load(model_dir)
    assert table.num_rows == 20
    for row in table.to_pylist():
        image = read_for_model((pictures_dir / row["path"]).read_bytes(), predictor.contract)
        probs = predictor.predict(image[None])["probabilities"][0]
        found = [row[f"probability.{name}"] for name in predictor.contract.classes]
        assert found == pytest.approx(probs.tolist(), abs=1e-6)
        assert row["label"] == predictor.contract.classes[int(np.argmax(probs))]
        assert (row["error"], row["abstained"], row["model_sha256"]) == (None, False, predictor.sha256)
    assert table["path"].to_pylist() == sorted(table["path"].to_pylist())
    assert table.schema.metadata[MODEL_KEY].decode() == predictor.sha256


def test_bad_pictures_are_rows_with_their_error_and_harm_no_neighbour(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(pictures_dir / "cut.jpg")
    data = (pictures_dir / "cut.jpg").read_bytes()
    (pictures_dir / "cut.jpg").write_bytes(data[: len(data) // 2])
    (pictures_dir / "empty.jpg").touch()
    (pictures_dir / "text.jpg").write_text("no picture")
    (pictures_dir / "dangling.jpg").symlink_to(pictures_dir / "gone")
    os.mkfifo(pictures_dir / "pipe.jpg")
    plan_run(pictures_dir, tmp_path / "run", model_dir, size=100)
    assert score.main([str(tmp_path / "run"), "--batch-size", "3", "--workers", "2"]) == 0
    assert merge.main([str(tmp_path / "run")]) == 0
    rows = {row["path"]: row for row in pq.read_table(tmp_path / "run/scores.parquet").to_pylist()}
    assert {path: row["error"] for path, row in rows.items() if row["error"]} == {
        "cut.jpg": "corrupt_image",
        "empty.jpg": "empty_file",
        "text.jpg": "unsupported_format",
        "dangling.jpg": "unreadable_file",
        "pipe.jpg": "unreadable_file",
    }
    assert rows["dangling.jpg"]["message"] == "No such file or directory"
    assert all(rows[path]["label"] is None for path in ("cut.jpg", "pipe.jpg"))
    assert sum(row["label"] is not None for row in rows.values()) == 20


def test_a_filter_that_fails_on_a_picture_is_that_pictures_error(pictures_dir: Path, tmp_path: Path) -> None:
    hook = HookFilter(path="tests.scoring.blocking_filter:fail_on", options={"label": "green"})
    write_tiny_model(tmp_path / "model", tiny_contract().model_copy(update={"filters": (hook,)}))
    plan_run(pictures_dir, tmp_path / "run", tmp_path / "model")
    assert score.main([str(tmp_path / "run")]) == 0
    assert merge.main([str(tmp_path / "run")]) == 0
    table = pq.read_table(tmp_path / "run/scores.parquet").to_pandas()
    assert set(table.loc[table["error"] == "filter_failed", "path"]) == {f"{n:02d}.png" for n in (1, 4, 7, 10, 13)} | {
        "more/16.png",
        "more/19.png",
    }
    assert table["label"].dropna().isin(["red", "blue"]).all()


def test_a_picture_on_which_the_model_overflows_is_an_error_and_its_neighbours_are_scored(
    pictures_dir: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (30, 20), WHITE).save(pictures_dir / "07.png")
    write_overflowing_model(tmp_path / "model")
    plan_run(pictures_dir, tmp_path / "run", tmp_path / "model")
    assert score.main([str(tmp_path / "run")]) == 0
    assert merge.main([str(tmp_path / "run")]) == 0
    table = pq.read_table(tmp_path / "run/scores.parquet").to_pandas()
    failed = table[table["error"].notna()]
    assert failed[["path", "error"]].to_numpy().tolist() == [["07.png", "model_output_invalid"]]
    assert "not finite" in failed["message"].item()
    assert failed["probability"].isna().all()


def test_scoring_again_does_nothing_and_gives_the_same_bytes(
    pictures_dir: Path, model_dir: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    plan_run(pictures_dir, run_dir, model_dir)
    assert score.main([str(run_dir)]) == 0
    first = results(run_dir)
    times = {path: path.stat().st_mtime_ns for path in (run_dir / "results").iterdir()}
    assert score.main([str(run_dir)]) == 0
    assert {path: path.stat().st_mtime_ns for path in (run_dir / "results").iterdir()} == times
    (run_dir / "results/00002.parquet").unlink()
    assert score.main([str(run_dir), "--batch-size", "1", "--workers", "3"]) == 0
    assert results(run_dir) == first


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_a_killed_task_leaves_whole_shards_only_and_another_finishes_with_the_same_bytes(
    task: str, pictures_dir: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    hook = HookFilter(path="tests.scoring.blocking_filter:hold", options={"label": "red", "gate": str(gate)})
    if task == "segmentation":
        write_segmenter(tmp_path / "model", segmentation_contract(filters=(hook,)))
    else:
        write_tiny_model(tmp_path / "model", tiny_contract().model_copy(update={"filters": (hook,)}))
    source = tmp_path / "list.txt"  # no red picture before the second shard
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(pictures_dir.rglob("*.png"))]
    names.sort(key=lambda name: int(Path(name).stem) % 3 == 0)
    source.write_text("".join(f"{name}\n" for name in names))
    plan_run(source, tmp_path / "killed", tmp_path / "model", task=task)
    plan_run(source, tmp_path / "whole", tmp_path / "model", task=task)
    gate.touch()
    command = [sys.executable, "-m", "scoring.score", str(tmp_path / "killed"), "--batch-size", "2"]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        while not Path(f"{gate}.reached").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    gate.unlink()
    left = [path.name for path in sorted((tmp_path / "killed/results").iterdir())]
    assert left[:2] == ["00000.parquet", "00001.parquet"]
    assert left[2].endswith(".tmp")
    assert merge.main([str(tmp_path / "killed")]) == 2
    for run_dir in (tmp_path / "killed", tmp_path / "whole"):
        assert score.main([str(run_dir)]) == 0
        assert merge.main([str(run_dir)]) == 0
    assert results(tmp_path / "killed") == results(tmp_path / "whole")
    assert (tmp_path / "killed/scores.parquet").read_bytes() == (tmp_path / "whole/scores.parquet").read_bytes()


def test_a_model_that_changed_after_planning_is_refused(
    pictures_dir: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir)
    write_tiny_model(model_dir, scale=3)
    assert score.main([str(tmp_path / "run")]) == 2
    assert "Plan a new run" in capsys.readouterr().err
    assert results(tmp_path / "run") == {}


def test_a_damaged_result_is_named_and_not_taken_for_done(
    pictures_dir: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir)
    assert score.main([str(tmp_path / "run")]) == 0
    damaged = tmp_path / "run/results/00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    assert score.main([str(tmp_path / "run")]) == 2
    assert "00001.parquet is damaged" in capsys.readouterr().err


def test_a_task_beyond_the_last_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        score.main([str(tmp_path), "--task", "2", "--tasks", "2"])
    assert stopped.value.code == 2
    assert "tasks count from 0" in capsys.readouterr().err


def test_a_folder_that_was_never_planned_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score.main([str(tmp_path)]) == 2
    assert "python -m scoring.shard" in capsys.readouterr().err


def test_scoring_needs_no_torch(pictures_dir: Path, model_dir: Path, tmp_path: Path) -> None:
    plan_run(pictures_dir, tmp_path / "run", model_dir)
    code = (
        "import sys; sys.modules['torch'] = None; from scoring.score import main; "
        f"sys.exit(main([{str(tmp_path / 'run')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path / "run")) == 4
