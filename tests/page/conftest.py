"""A service of all models, whose page a real Chromium shows: one server and one browser for all tests of the page."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import bentoml
import pytest
from playwright.sync_api import Browser, sync_playwright

from demo import serving
from runtime.model.stated_filters import AbstainFilter
from tests.bento_project import copy_project
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import tiny_contract, write_tiny_model
from tests.onnx_segmenter import store_segmenter
from tests.service.detecting_models import store_crop_classifier, store_detector

MAX_BODY_BYTES = 1_000_000
CARD = """---
model_sha256: 0
---
# A tiny model

## Results

| class | images |
|---|---:|
| red | 12 |

<script>document.title = "taken over"</script>
"""
EVALUATION = {"classes": ["red", "green", "blue"], "confusion": [[11, 1, 0], [0, 9, 0], [2, 0, 7]]}


def _store_models() -> list[str]:
    """Put a model of every role into the store; the classifier has a card, an evaluation, and is not always sure."""
    contract = tiny_contract().model_copy(update={"filters": (AbstainFilter(below=0.7),)})
    with bentoml.models.create("vision-classifier") as classifier:
        folder = Path(classifier.path)
        write_tiny_model(folder, contract)
        (folder / "MODEL_CARD.md").write_text(CARD)
        (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    return [str(classifier.tag), store_segmenter(), store_detector(), store_crop_classifier()]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    project = copy_project(tmp_path_factory.mktemp("page"))
    with bentoml_home(project.home):
        tags = _store_models()
    environment = {
        **project.environment, "VISION_MODEL": ",".join(tags), "VISION_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    }  # fmt: skip
    with serving("service:Vision", project.folder, environment) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Without one the tests are skipped, but never pass the gate, which installs it.

    It is ended with its module: as long as it is there asyncio has a running loop, and tests that run their own fail.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "there is no Chromium: apt-get install --no-install-recommends chromium fonts-dejavu-core"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # As root, in a container with a small /dev/shm.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()
