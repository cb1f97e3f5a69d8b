"""One Bento, built and served once for all tests of the service."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo import serving
from tests.bento_project import Served, copy_project, write_pictures
from tests.service.picture_host import PictureHost, picture_hosting

SETTINGS = {
    "VISION_MAX_PIXELS": "10000",
    "VISION_MAX_IMAGES_PER_REQUEST": "4",
    "VISION_MAX_BODY_BYTES": "1000000",
    "VISION_BODY_TIMEOUT_S": "6",
    "VISION_HEADER_TIMEOUT_S": "2",
    "VISION_CORS_ORIGINS": "https://app.example.com, http://localhost:5173",
}


@contextmanager
def served_bento(directory: Path, **settings: str) -> Iterator[Served]:
    """A Bento served from an empty folder; the project it was built from is gone and a newer model is registered."""
    project = copy_project(directory)
    classifier = project.register()
    built = project.build()
    assert built.returncode == 0, built.stderr
    project.register(scale=4.0)
    shutil.rmtree(project.folder)
    empty = directory / "empty"
    empty.mkdir()
    with serving("vision:latest", empty, {**project.environment, **SETTINGS, **settings}) as url:
        yield Served(url, classifier, write_pictures(directory), project)


@pytest.fixture(scope="session")
def picture_host() -> Iterator[PictureHost]:
    """The Label Studio that `served` fetches pictures from."""
    with picture_hosting() as host:
        yield host


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, picture_host: PictureHost) -> Iterator[Served]:
    """One process that does all."""
    own = {"VISION_LABEL_STUDIO_URL": picture_host.url, "VISION_LABEL_STUDIO_TOKEN": picture_host.token}
    with served_bento(tmp_path_factory.mktemp("served"), **own) as served:
        yield served
