"""A Bento carries the card of the model it holds, or is not built."""

import json

import pytest

from tests.bento_project import Project, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("bento"))
    project.register()
    return project


def bentos(project: Project) -> set[str]:
    return {path.name for path in (project.home / "bentos" / "vision").glob("*") if path.is_dir()}


def test_bento_is_built_once_and_again_when_code_or_model_change(project: Project) -> None:
    first = project.run("export.bento", "--record", "artifacts/bento.json")
    assert first.returncode == 0, first.stderr
    record = json.loads((project.folder / "artifacts" / "bento.json").read_text())
    tag, path = first.stdout.split()[-4:][0], first.stdout.split()[-1]
    assert record["tag"] == tag
    assert record["path"] == path
    assert record["models"][0].startswith("vision-classifier:")
    assert not record["models"][0].endswith("latest")

    again = project.run("export.bento")
    assert f"up to date: {tag}" in again.stdout
    assert len(bentos(project)) == 1

    with (project.folder / "runtime" / "card.py").open("a") as code:
        code.write("# changed\n")
    assert project.run("export.bento").stdout.startswith("built vision:")
    hooks = project.folder / "hooks"
    hooks.mkdir()
    (hooks / "own.py").write_text("# a filter of the user's own\n")
    assert project.run("export.bento").stdout.startswith("built vision:")
    classifier = project.register(scale=4.0)
    rebuilt = project.run("export.bento").stdout
    assert rebuilt.startswith("built vision:")
    assert classifier in rebuilt
    assert len(bentos(project)) == 4


def test_card_older_than_the_model_is_refused_by_both_ways_to_build(project: Project) -> None:
    card = project.folder / "artifacts" / "MODEL_CARD.md"
    older = card.read_text()
    project.register(scale=3.0)
    card.write_text(older)
    before = bentos(project)
    for command in (["bentoml", "build"], ["export.bento"]):
        refused = project.run(*command)
        assert refused.returncode != 0
        assert "is the card of another model" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert bentos(project) == before


def test_missing_card_is_refused(project: Project) -> None:
    (project.folder / "artifacts" / "MODEL_CARD.md").unlink()
    before = bentos(project)
    refused = project.run("bentoml", "build")
    assert refused.returncode != 0
    assert "MODEL_CARD.md" in refused.stderr
    assert bentos(project) == before


def test_project_without_a_model_says_what_to_run(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = Project(project.folder, tmp_path_factory.mktemp("empty"))
    refused = empty.run("export.bento")
    assert refused.returncode == 2
    assert refused.stderr.startswith("cannot build the Bento: there is no model 'vision-classifier:latest'")
