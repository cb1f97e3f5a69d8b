"""Training over two nodes, for real: what is registered, how it is logged, and that it is what one process trains."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.slurm.conftest import Project
from tests.training.conftest import TINY

pytestmark = pytest.mark.slow
# Gradients are summed in another order over two processes. Losses of validation after two epochs at 64 pixels differ by
# less than this share.
TOLERANCE = 0.02
SEARCH = {
    "metric": "val_macro_f1",
    "trials": 2,
    "max_retries": 1,
    "sampler": {"name": "random", "seed": 0, "startup_trials": 1},
    "pruner": {"name": "none", "startup_trials": 1, "warm_up_epochs": 1},
    "space": {"train.weight_decay": {"type": "float", "low": 0.001, "high": 0.1, "log": True}},
}


@pytest.fixture(scope="module")
def trained(module_project: Project, tiny_tiles_dir: Path) -> tuple[Project, str]:
    """A checkout in which two workers have searched, and a job over two nodes has trained with the best and registered.

    Returns it with the number of that job.
    """
    project = module_project
    (project.folder / "data").symlink_to(tiny_tiles_dir)
    ours = yaml.safe_load((project.folder / "params.yaml").read_text())
    ours["evaluate"]["bootstrap_samples"] = 100
    for name, content in (("params.yaml", {**ours, **TINY}), ("search.yaml", SEARCH)):
        (project.folder / name).unlink()
        (project.folder / name).write_text(yaml.safe_dump(content))
    said = project.run("slurm/search.sh", "2", "--", "--nodes=2").stdout
    job = said.splitlines()[1].split()[2].rstrip(",")
    assert project.finish(job) == "COMPLETED", project.logs()
    return project, job


def test_workers_of_an_array_share_the_trials_and_the_best_is_trained_in_full(trained: tuple[Project, str]) -> None:
    project, job = trained
    rows = list(csv.DictReader((project.folder / "artifacts/search/trials.csv").open()))
    assert len(rows) == 2
    best = yaml.safe_load((project.folder / "artifacts/search/params.best.yaml").read_text())["train"]["weight_decay"]
    assert best in [pytest.approx(float(row["train.weight_decay"])) for row in rows]
    (used,) = {record["params"]["train.weight_decay"] for record in history(project.folder / "artifacts/training")}
    assert float(used) == best


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_job_ends_with_checkpoint_and_onnx_model_in_the_store(trained: tuple[Project, str]) -> None:
    project, job = trained
    models = project.folder / "bentoml/models"
    (classifier,) = [path for path in (models / "vision-classifier").iterdir() if path.is_dir()]
    (checkpoint,) = [path for path in (models / "vision-checkpoint").iterdir() if path.is_dir()]
    assert (classifier / "model.onnx").is_file()
    assert (checkpoint / "checkpoint.pt").is_file()
    assert classifier.name == checkpoint.name
    assert f"logs/vision-train-{job}.out" in {str(p.relative_to(project.folder)) for p in project.folder.glob("logs/*")}


def test_the_mlflow_run_is_named_after_the_job(trained: tuple[Project, str]) -> None:
    project, job = trained
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        names = database.execute("select name, status from runs where name like 'vision-train%'").fetchall()
    database.close()
    assert names == [(f"vision-train-{job}", "FINISHED")]


def test_two_nodes_measure_what_one_process_does(trained: tuple[Project, str]) -> None:
    project, _ = trained
    best = "artifacts/search/params.best.yaml"
    project.run(".venv/bin/python", "-m", "training.train", "--params", best, "--out", "artifacts/alone")
    alone, both = history(project.folder / "artifacts/alone"), history(project.folder / "artifacts/training")
    assert [record["epoch"] for record in both] == [record["epoch"] for record in alone] == [1, 2]
    for name in ("val_loss", "val_macro_f1", "val_accuracy"):
        found = [record[name] for record in both]
        assert found == pytest.approx([record[name] for record in alone], rel=TOLERANCE), (alone, both)


def test_the_chain_runs_its_links_one_after_the_other_up_to_the_bento(trained: tuple[Project, str]) -> None:
    project, _ = trained
    said = project.run("slurm/chain.sh", "--from=register").stdout.splitlines()
    jobs = [line.split()[2].rstrip(",") for line in said]
    assert [line.split(":")[0] for line in said] == ["register", "bento"]
    assert [project.finish(job) for job in jobs] == ["COMPLETED"] * 2, project.logs()
    bento = json.loads((project.folder / "artifacts/bento.json").read_text())
    assert bento["models"] == [
        f"vision-classifier:{(project.folder / 'bentoml/models/vision-classifier/latest').read_text()}"
    ]


def test_a_link_that_fails_stops_the_chain_and_says_where(trained: tuple[Project, str]) -> None:
    project, _ = trained
    (project.folder / "artifacts/training/checkpoint.pt").unlink()
    jobs = [
        line.split()[2].rstrip(",") for line in project.run("slurm/chain.sh", "--from=register").stdout.splitlines()
    ]
    assert [project.finish(job) for job in jobs] == ["FAILED", "CANCELLED"]
    log = (project.folder / f"logs/vision-export-{jobs[0]}.out").read_text()
    assert "the chain stops at 'export'" in log


def test_an_unknown_link_is_refused(project: Project) -> None:
    done = project.run("slurm/chain.sh", "--from=deploy", check=False)
    assert done.returncode == 2
    assert "no link 'deploy'" in done.stderr
