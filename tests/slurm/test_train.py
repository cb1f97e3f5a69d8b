"""Training over two nodes, for real: what is registered, how it is logged, and that it is what one process trains."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.slurm.conftest import Project
from tests.training.conftest import TINY

pytestmark = pytest.mark.slow
# Sums of gradients over two processes are taken in another order; after an epoch of 64-pixel training losses differ by
# less than this.
LOSS_TOLERANCE = 2e-3


@pytest.fixture(scope="module")
def trained(module_project: Project, tiny_tiles_dir: Path) -> tuple[Project, str]:
    """A checkout in which a job over two nodes has trained, evaluated, exported and registered."""
    project = module_project
    (project.folder / "data").symlink_to(tiny_tiles_dir)
    (project.folder / "params.yaml").unlink()
    ours = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    ours["evaluate"]["bootstrap_samples"] = 100
    (project.folder / "params.yaml").write_text(yaml.safe_dump({**ours, **TINY}))
    job = project.submit("--nodes=2", "slurm/train.sbatch")
    assert project.finish(job) == "COMPLETED", project.logs()
    return project, job


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
        names = database.execute("select name, status from runs").fetchall()
    database.close()
    assert names == [(f"vision-train-{job}", "FINISHED")]


def test_two_nodes_measure_what_one_process_does(trained: tuple[Project, str]) -> None:
    project, _ = trained
    project.run(".venv/bin/python", "-m", "training.train", "--out", "artifacts/alone")
    alone, both = history(project.folder / "artifacts/alone"), history(project.folder / "artifacts/training")
    assert [record["epoch"] for record in both] == [record["epoch"] for record in alone] == [1, 2]
    for one, two in zip(alone, both, strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], abs=LOSS_TOLERANCE)
        assert two["val_loss"] == pytest.approx(one["val_loss"], abs=LOSS_TOLERANCE)
        assert two["val_macro_f1"] == pytest.approx(one["val_macro_f1"], abs=0.05)


def test_the_chain_runs_its_links_one_after_the_other_up_to_the_bento(trained: tuple[Project, str]) -> None:
    project, _ = trained
    said = project.run("slurm/chain.sh", "--from=evaluate").stdout.splitlines()
    jobs = [line.split()[2].rstrip(",") for line in said]
    assert [line.split(":")[0] for line in said] == ["evaluate", "export", "register", "bento"]
    assert [project.finish(job) for job in jobs] == ["COMPLETED"] * 4
    bento = json.loads((project.folder / "artifacts/bento.json").read_text())
    assert bento["models"] == [
        f"vision-classifier:{(project.folder / 'bentoml/models/vision-classifier/latest').read_text()}"
    ]


def test_a_link_that_fails_stops_the_chain_and_says_where(trained: tuple[Project, str]) -> None:
    project, _ = trained
    (project.folder / "artifacts/export/model.onnx").unlink()
    jobs = [
        line.split()[2].rstrip(",") for line in project.run("slurm/chain.sh", "--from=register").stdout.splitlines()
    ]
    assert [project.finish(job) for job in jobs] == ["FAILED", "CANCELLED"]
    log = (project.folder / f"logs/vision-register-{jobs[0]}.out").read_text()
    assert "the chain stops at 'register'" in log


def test_an_unknown_link_is_refused(project: Project) -> None:
    done = project.run("slurm/chain.sh", "--from=deploy", check=False)
    assert done.returncode == 2
    assert "no link 'deploy'" in done.stderr
