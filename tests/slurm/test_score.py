"""Offline scoring as a job array on a real cluster."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from runtime.model.stated_filters import HookFilter
from tests.onnx_fixture import CLASSES, COLOURS, tiny_contract, write_tiny_model
from tests.slurm.conftest import Project

pytestmark = pytest.mark.slow
NUM_PICTURES = 40


@pytest.fixture
def planned(project: Project) -> Project:
    """40 pictures, one of them broken, in 8 shards; red ones wait while `gate` is there."""
    (project.folder / "pictures").mkdir()
    for number in range(NUM_PICTURES):
        picture = Image.new("RGB", (30, 20), COLOURS[CLASSES[number % 3]])
        picture.save(project.folder / f"pictures/{number:02d}.png")
    (project.folder / "pictures/11.png").write_bytes(b"broken")
    options = {"label": "red", "gate": str(project.folder / "gate")}
    hook = HookFilter(path="tests.scoring.blocking_filter:hold", options=options)
    write_tiny_model(project.folder / "model", tiny_contract().model_copy(update={"filters": (hook,)}))
    command = [".venv/bin/python", "-m", "scoring.shard", "pictures", "run", "--model", "model"]
    project.run(*command, "--pictures-per-shard", "5")
    return project


def merged(project: Project) -> list[str]:
    project.run(".venv/bin/python", "-m", "scoring.merge", "run")
    summary = json.loads((project.folder / "run/summary.json").read_text())
    assert (summary["num_pictures"], summary["num_errors"]) == (NUM_PICTURES, 1)
    paths: list[str] = pq.read_table(project.folder / "run/scores.parquet")["path"].to_pylist()
    return paths


def test_an_array_on_two_nodes_scores_every_picture_once(planned: Project) -> None:
    job = planned.submit("--array=0-1", "slurm/score.sbatch", "run")
    assert [planned.finish(f"{job}_{task}") for task in (0, 1)] == ["COMPLETED"] * 2
    assert merged(planned) == [f"{number:02d}.png" for number in range(NUM_PICTURES)]
    assert all("task" in (planned.folder / f"logs/vision-score-{job}_{task}.out").read_text() for task in (0, 1))


def test_a_node_that_dies_in_the_middle_of_a_shard_costs_that_shard_only(planned: Project) -> None:
    gate = planned.folder / "gate"
    gate.touch()
    job = planned.submit("--array=0-1", "slurm/score.sbatch", "run")
    planned.wait(Path(f"{gate}.reached").exists, "a held shard")
    node = planned.fields(f"{job}_0")["NodeList"]
    planned.cluster.kill_node(node)
    gate.unlink()
    assert planned.finish(f"{job}_1") == "COMPLETED"
    assert planned.finish(f"{job}_0") == "COMPLETED"  # requeued, on the node that is left
    assert planned.fields(f"{job}_0")["Restarts"] == "1"
    assert merged(planned) == [f"{number:02d}.png" for number in range(NUM_PICTURES)]


def test_a_wrong_array_is_refused_with_a_reason(planned: Project) -> None:
    job = planned.submit("--array=1-2", "slurm/score.sbatch", "run")
    assert planned.finish(f"{job}_2") == "FAILED"
    assert "tasks count from 0" in (planned.folder / f"logs/vision-score-{job}_2.out").read_text()
