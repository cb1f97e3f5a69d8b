"""Training over two nodes, for real: what is registered, how it is logged, and that it is what one process trains."""

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from runtime.model.contract import CONTRACT_FILE, read_contract
from slurm.chain_commands import LINKS
from slurm.node_facts import NUM_PICTURES
from tests.slurm.conftest import Project, hold_readers
from tests.training.conftest import TINY
from tests.training.segmentation_section import segmentation_section
from training.run.checkpoint import Checkpoint

pytestmark = pytest.mark.slow
# Over two processes gradients are summed in another order. In four epochs losses of validation differ by less than this
# share, and no more than this many of 48 pictures are taken for another class.
LOSS_TOLERANCE, MAX_OTHER_PICTURES = 0.01, 1
PHASES = [
    {"trainable": "head", "epochs": 1, "lr": 0.001},
    {"trainable": "all", "epochs": 3, "lr": 0.0003, "backbone_lr_scale": 0.1},
]
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
    params = {**ours, **TINY, "train": {**TINY["train"], "phases": PHASES}}
    for name, content in (("params.yaml", params), ("search.yaml", SEARCH)):
        (project.folder / name).unlink()
        (project.folder / name).write_text(yaml.safe_dump(content))
    said = project.run("slurm/search.sh", "2", "--", "--nodes=2").stdout
    job = said.splitlines()[1].split()[2].rstrip(",")
    assert project.finish(job) == "COMPLETED", project.logs()
    return project, job


def test_workers_of_an_array_share_the_trials_and_the_best_is_trained_in_full(trained: tuple[Project, str]) -> None:
    project, _ = trained
    rows = list(csv.DictReader((project.folder / "artifacts/search/trials.csv").read_text().splitlines()))
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
    assert [record["epoch"] for record in both] == [record["epoch"] for record in alone] == [1, 2, 3, 4]
    for one, two in zip(alone, both, strict=True):
        assert two["val_loss"] == pytest.approx(one["val_loss"], rel=LOSS_TOLERANCE)
        assert two["val_accuracy"] == pytest.approx(one["val_accuracy"], abs=(MAX_OTHER_PICTURES + 0.5) / 48)


def test_the_chain_runs_its_links_one_after_the_other_up_to_the_bento(trained: tuple[Project, str]) -> None:
    project, _ = trained
    said = project.run("slurm/chain.sh", "--from=register").stdout.splitlines()
    jobs = [line.split()[2].rstrip(",") for line in said]
    assert [line.split(":")[0] for line in said] == ["register", "bento"]
    assert [project.finish(job) for job in jobs] == ["COMPLETED"] * 2, project.logs()
    bento = json.loads((project.folder / "artifacts/bento.json").read_text())
    latest = (project.folder / "bentoml/models/vision-classifier/latest").read_text()
    assert bento["models"] == [f"vision-classifier:{latest}"]


def test_the_chain_of_segmentation_trains_and_packs_a_segmenter_and_leaves_the_classifier_alone(
    trained: tuple[Project, str],
) -> None:
    project, _ = trained
    params = yaml.safe_load((project.folder / "params.yaml").read_text())
    model = {"backbone": "test_resnet", "pretrained": "none", "drop_rate": 0.0}
    review = {**params["review"], "max_robustness_images": 6, "max_maps": 1, "max_mask_images": 2}
    params |= {"model": model, "segmentation": segmentation_section({"view": 1.0, "steps": 60}), "review": review}
    (project.folder / "outlines.yaml").write_text(yaml.safe_dump(params))
    classifier = [*artifacts_of(project, "training"), *artifacts_of(project, "evaluation")]
    said = project.run("slurm/chain.sh", "--task=segmentation", "--params=outlines.yaml").stdout.splitlines()
    jobs = {line.split(":")[0]: line.split()[2].rstrip(",") for line in said}
    assert {link: project.finish(job) for link, job in jobs.items()} == dict.fromkeys(("train", *LINKS), "COMPLETED"), (
        project.logs()
    )
    latest = (project.folder / "bentoml/models/vision-segmenter/latest").read_text()
    contract = read_contract(project.folder / "bentoml/models/vision-segmenter" / latest / CONTRACT_FILE)
    assert (contract.task, contract.lineage.backbone) == ("segmentation", "test_resnet")
    bento = json.loads((project.folder / "artifacts/bento.json").read_text())
    assert bento["models"] == [f"vision-segmenter:{latest}"]
    assert [*artifacts_of(project, "training"), *artifacts_of(project, "evaluation")] == classifier


def artifacts_of(project: Project, name: str) -> list[tuple[Path, int]]:
    """Return what the classifier's stage has left, and when each file was written."""
    return [(path, path.stat().st_mtime_ns) for path in sorted((project.folder / "artifacts" / name).rglob("*"))]


def test_training_that_is_warned_loses_a_node_and_its_batch_step_ends_with_the_same_bits(
    trained: tuple[Project, str], held_picture: Path
) -> None:
    project, _ = trained
    content = held_picture.with_suffix(".away").read_bytes()
    undisturbed = Checkpoint.load(project.folder / "artifacts/training/checkpoint.pt")
    (project.folder / "artifacts/training").rename(project.folder / "artifacts/undisturbed")
    options = ["--params", "artifacts/search/params.best.yaml", "--only-train"]
    job = project.submit("--nodes=2", "slurm/train.sbatch", *options)
    with hold_readers(project, held_picture) as reader:  # in the first epoch
        project.run("scancel", "--batch", "--signal=USR1", job)
        project.wait(lambda: "SIGUSR1" in project.logs(), "the warning")
        os.write(reader, content)
    project.wait_requeued(job)
    assert len(history(project.folder / "artifacts/training")) == 1
    with hold_readers(project, held_picture) as reader, suppress(BrokenPipeError):  # in the second
        project.cluster.kill_node("node2")
        os.write(reader, content)
    project.wait_requeued(job, restarts=2)
    project.cluster.start_node("node2")
    with hold_readers(project, held_picture):  # in the second again, and longer than Slurm waits
        project.run("scancel", "--batch", "--signal=KILL", job)
        project.wait_requeued(job, restarts=3)
    held_picture.with_suffix(".away").replace(held_picture)
    assert project.finish(job) == "COMPLETED"
    assert (project.folder / f"logs/vision-train-{job}.out").read_text().count("resuming after step") == 3
    with sqlite3.connect(project.folder / "mlflow.db") as database:
        (runs,) = database.execute("select count(*) from runs where name = ?", (f"vision-train-{job}",)).fetchone()
    database.close()
    assert runs == 1  # the same run went on, it did not begin anew
    resumed = Checkpoint.load(project.folder / "artifacts/training/checkpoint.pt")
    assert resumed.epoch == undisturbed.epoch
    assert resumed.state_dict.keys() == undisturbed.state_dict.keys()
    for name, tensor in resumed.state_dict.items():
        assert torch.equal(tensor, undisturbed.state_dict[name]), name


@pytest.fixture
def held_picture(trained: tuple[Project, str]) -> Iterator[Path]:
    """A picture of validation that is a FIFO: who reads it waits. The picture itself lies beside it as `.away`."""
    data = trained[0].folder / "data"
    original = data.resolve()
    data.unlink()
    shutil.copytree(original, data)
    rows = list(csv.DictReader((data / "manifest.csv").read_text().splitlines()))
    seen_before = rows[:: len(rows) // NUM_PICTURES]  # by slurm.facts
    path = data / next(row["path"] for row in rows if row["split"] == "val" and row not in seen_before)
    path.rename(path.with_suffix(".away"))
    os.mkfifo(path)
    yield path
    shutil.rmtree(data)
    data.symlink_to(original)


def test_a_link_that_fails_stops_the_chain_and_says_where(trained: tuple[Project, str]) -> None:
    project, _ = trained
    checkpoint = project.folder / "artifacts/training/checkpoint.pt"
    checkpoint.rename(checkpoint.with_suffix(".away"))
    said = project.run("slurm/chain.sh", "--from=export").stdout.splitlines()
    jobs = [line.split()[2].rstrip(",") for line in said]
    states = [project.finish(job) for job in jobs]
    checkpoint.with_suffix(".away").rename(checkpoint)
    assert states == ["FAILED", "CANCELLED", "CANCELLED"]
    log = (project.folder / f"logs/vision-export-{jobs[0]}.out").read_text()
    assert "the chain stops at 'export'" in log


def test_an_unknown_link_is_refused(project: Project) -> None:
    done = project.run("slurm/chain.sh", "--from=deploy", check=False)
    assert done.returncode == 2
    assert "no link 'deploy'" in done.stderr
