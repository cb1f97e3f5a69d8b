"""The project that evaluation's tests start from."""

from pathlib import Path

import pytest

from tests.evaluation.project import Project, make_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, ("Blowhole", "Crack", "Free"))
