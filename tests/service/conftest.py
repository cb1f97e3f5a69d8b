"""One Bento, built and served once for all tests of the service."""

import shutil
from collections.abc import Iterator

import pytest

from demo import serving
from tests.bento_project import Served, copy_project, write_pictures


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A Bento served from an empty folder; the project it was built from is gone and a newer model is registered."""
    directory = tmp_path_factory.mktemp("served")
    project = copy_project(directory)
    classifier = project.register()
    built = project.build()
    assert built.returncode == 0, built.stderr
    project.register(scale=4.0)
    shutil.rmtree(project.folder)
    empty = directory / "empty"
    empty.mkdir()
    environment = {
        **project.environment,
        "VISION_MAX_PIXELS": "10000",
        "VISION_MAX_IMAGES_PER_REQUEST": "4",
        "VISION_MAX_BODY_BYTES": "1000000",
        "VISION_BODY_TIMEOUT_S": "3",
        "VISION_HEADER_TIMEOUT_S": "2",
    }
    with serving("vision:latest", empty, environment) as url:
        yield Served(url, classifier, write_pictures(directory), project)
