"""A Bento holds the segmenter alone, or both models with the cards of both."""

import json
from pathlib import Path

import bentoml
import pytest
import yaml

from export.packed_models import TASKS, models_to_pack
from runtime.model.card import card_models_sha256
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE
from runtime.model.hashing import file_sha256
from runtime.serving.model_reference import ModelUnavailable
from tests.bento_project import Project, copy_project
from tests.bentoml_home import bentoml_home

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tags(project: Project) -> list[str]:
    return [project.register(), project.register_segmenter()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("bento"))


def built(project: Project, *options: str) -> tuple[Path, list[str]]:
    """Build, and return where the Bento lies and which models it holds."""
    done = project.run("export.bento", "--record", "artifacts/bento.json", *options)
    assert done.returncode == 0, done.stderr
    record = json.loads((project.folder / "artifacts/bento.json").read_text())
    return Path(record["path"]), record["models"]


def onnx_sha256(project: Project, tag: str) -> str:
    return file_sha256(project.home / "models" / tag.replace(":", "/") / ONNX_FILE)


def packed_files(bento: Path) -> set[str]:
    return {path.relative_to(bento).as_posix() for path in bento.rglob("*") if path.is_file()}


def test_a_bento_holds_the_segmenter_alone(project: Project, tags: list[str]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (project.folder / "artifacts").iterdir()}
    bento, models = built(project, "--task", "segmentation")
    assert models == tags[1:]
    own_card = (project.folder / "artifacts/segmentation/MODEL_CARD.md").read_text()
    assert (bento / "README.md").read_text() == (bento / "src/artifacts/MODEL_CARD.md").read_text() == own_card
    assert yaml.safe_load((bento / "bento.yaml").read_text())["labels"]["task"] == "segmentation"
    assert "first model" in yaml.safe_load((bento / "bento.yaml").read_text())["labels"]["gate"]
    again = project.run("export.bento", "--task", "segmentation")
    assert again.stdout.startswith("up to date: vision:")
    after = {path.name: path.stat().st_mtime_ns for path in (project.folder / "artifacts").iterdir()}
    assert {name: time for name, time in after.items() if name != "bento.json"} == before


def test_a_bento_holds_both_under_a_card_that_is_of_each(project: Project, tags: list[str]) -> None:
    alone, _ = built(project)
    both, models = built(project, "--task", "both")
    assert models == tags
    readme = (both / "README.md").read_text()
    assert card_models_sha256(readme) == tuple(onnx_sha256(project, tag) for tag in tags)
    assert packed_files(both) == packed_files(alone)  # the same code and requirements, whatever it serves
    assert (both / "env/python/requirements.txt").read_text() == (alone / "env/python/requirements.txt").read_text()
    labels = yaml.safe_load((both / "bento.yaml").read_text())["labels"]
    assert labels["task"] == "classification and segmentation"
    assert labels["gate"].startswith("vision-classifier: first model")
    assert "; vision-segmenter: first model" in labels["gate"]


def test_a_segmenters_stale_card_is_refused_by_its_file(project: Project, tags: list[str]) -> None:
    path = project.folder / "artifacts/segmentation/MODEL_CARD.md"
    own = path.read_text()
    path.write_text((project.folder / "artifacts/MODEL_CARD.md").read_text())
    refused = project.run("export.bento", "--task", "both")
    path.write_text(own)
    assert refused.returncode == 2
    assert "artifacts/segmentation/MODEL_CARD.md is the card of another model" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_plain_bentoml_build_cannot_pack_a_segmenter_under_the_classifiers_card(
    project: Project, tags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_MODEL", tags[1])
    refused = project.build()
    assert refused.returncode != 0
    assert "is the card of another model" in refused.stderr


@pytest.mark.parametrize(
    ("named", "task", "message"),
    [
        ("vision-segmenter:latest", "classification", "a model of segmentation, but one of classification is to be"),
        ("vision-segmenter:latest", "both", "names no model of classification"),
        ("vision-segmenter:none", "segmentation", "there is no model 'vision-segmenter:none'"),
    ],
)
def test_named_models_must_be_of_the_tasks_that_are_packed(
    project: Project, tags: list[str], monkeypatch: pytest.MonkeyPatch, named: str, task: str, message: str
) -> None:
    monkeypatch.setenv("VISION_MODEL", named)
    with bentoml_home(project.home), pytest.raises(ModelUnavailable, match=message):
        models_to_pack(TASKS[task])


def test_a_model_without_a_contract_is_not_packed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_MODEL", "bare")
    with bentoml_home(project.home):
        with bentoml.models.create("bare") as bare:
            (Path(bare.path) / CONTRACT_FILE).write_text("{}")
        with pytest.raises(ModelUnavailable, match=f"{bare.tag} cannot be packed: .*not a valid model contract"):
            models_to_pack(TASKS["classification"])
