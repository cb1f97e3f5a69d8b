"""A Bento carries the card of the model it holds, or is not built."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from export.bento import PAGE_FILES, content_sha256
from tests.bento_project import Project, copy_project

pytestmark = pytest.mark.slow

PACKED_NAMES = {"bentofile.yaml", "service.py", "runtime", "hooks", "artifacts", "requirements"}


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
    tag, path = first.stdout.split()[1], first.stdout.split()[-1]
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


def test_a_store_in_the_checkout_is_not_packed_and_one_among_the_packed_code_is_refused(project: Project) -> None:
    """BentoML walks through the checkout, so through the Bento that it is just making there."""
    inside = replace(project, home=project.folder / "store")
    shutil.copytree(project.home, inside.home, symlinks=True)
    with (project.folder / "runtime" / "card.py").open("a") as code:
        code.write("# changed again\n")
    done = inside.run("export.bento")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in Path(done.stdout.split()[-1], "src").iterdir()} <= PACKED_NAMES
    hidden = replace(project, home=project.folder / "runtime" / "store")
    inside.home.rename(hidden.home)
    before = bentos(hidden)
    refused = hidden.run("export.bento")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"cannot build the Bento: BentoML's home {hidden.home} lies in runtime/, which ")
    assert "BENTOML_HOME" in refused.stderr
    assert bentos(hidden) == before
    shutil.rmtree(hidden.home)


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


def test_a_model_worse_than_the_packed_one_is_refused_unless_it_was_registered_on_purpose(project: Project) -> None:
    good = project.register()
    assert project.run("export.bento").returncode == 0
    before = bentos(project)
    worse = project.register(confused=True, accept_worse="green is no longer made")
    done = project.run("export.bento")
    assert f"{worse}\ngate: worse than {good}; accepted, because: green is no longer made\ncompared with" in done.stdout
    assert len(bentos(project) - before) == 1
    # The same model as one that came into the store without the gate's word.
    for path in (project.home / "models").glob(f"*/{worse.partition(':')[2]}/model.yaml"):
        path.write_text("".join(x for x in path.read_text().splitlines(True) if "accepted_worse" not in x))
    (latest,) = bentos(project) - before
    shutil.rmtree(project.home / "bentos" / "vision" / latest)
    (project.home / "bentos" / "vision" / "latest").unlink()
    refused = project.run("export.bento")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"cannot build the Bento: the model is worse than {good} on the same 12 test pictures"
    )
    told = project.run("export.bento", "--accept-worse", "to try it out")
    assert f"gate: worse than {good}" in told.stdout
    assert "; accepted, because: to try it out" in told.stdout


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


def test_bento_is_built_again_when_the_page_changes(tmp_path: Path) -> None:
    folder = copy_project(tmp_path).folder
    before = content_sha256(folder, {}, "card")
    assert content_sha256(folder, {}, "card") == before
    with (folder / PAGE_FILES / "page.css").open("a") as style:
        style.write("/* changed */\n")
    assert content_sha256(folder, {}, "card") != before
