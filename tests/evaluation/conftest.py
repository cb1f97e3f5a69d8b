"""The project that evaluation's tests start from: made, evaluated and put on a card once, and copied for each test."""

from pathlib import Path

import pytest

from tests.evaluation.project import Project, make_project


@pytest.fixture(scope="session")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of all tests. Read it, never write to it."""
    return make_project(tmp_path_factory.mktemp("evaluation"), ("Blowhole", "Crack", "Free"))


@pytest.fixture(scope="session")
def shared_carded(shared_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same after the stages `evaluate` and `card`. Read it, never write to it."""
    from evaluation import card, evaluate

    project = shared_project.copied_to(tmp_path_factory.mktemp("carded"))
    assert evaluate.main(project.evaluate_arguments) == 0
    assert card.main(project.card_arguments) == 0
    return project


@pytest.fixture
def project(shared_project: Project, tmp_path: Path) -> Project:
    """A project for one test, which nobody has evaluated yet."""
    return shared_project.copied_to(tmp_path)


@pytest.fixture
def evaluated(shared_carded: Project, tmp_path: Path) -> Project:
    """A project for one test after the stage `evaluate`, without a card."""
    project = shared_carded.copied_to(tmp_path)
    project.card_path.unlink()
    return project
