"""A service that cannot answer rightly does not start, and says what to run; torch is never there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bento_project import Project, copy_project, write_pictures
from tests.bentoml_home import bentoml_home
from tests.onnx_segmenter import store_segmenter
from tests.service.detecting_models import store_crop_classifier, store_detector

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with one model registered; tests that change the store work on a copy."""
    project = copy_project(tmp_path_factory.mktemp("startup"))
    project.register()
    return project


def copy_of(project: Project, directory: Path) -> Project:
    return Project(project.folder, Path(shutil.copytree(project.home, directory / "home")))


def serve(project: Project, target: str = "service:Vision", **environment: str) -> str:
    """Try to serve, expecting a refusal; returns what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", "0"],
        cwd=project.folder,
        env={**project.environment, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_empty_store_refuses_and_names_the_command(project: Project, tmp_path: Path) -> None:
    message = serve(Project(project.folder, tmp_path / "home"))
    assert "there is no model 'vision-classifier:latest' in the model store; run `make demo`" in message


def test_contract_that_disagrees_with_the_graph_refuses(project: Project, tmp_path: Path) -> None:
    changed = copy_of(project, tmp_path)
    [path] = changed.home.glob("models/vision-classifier/*/contract.json")
    contract = json.loads(path.read_text())
    path.write_text(json.dumps({**contract, "classes": ["blue", "green", "red"]}))
    message = serve(changed)
    assert "classes is ('blue', 'green', 'red') in contract.json but ('red', 'green', 'blue') in model.onnx" in message


@pytest.mark.parametrize(("variable", "value"), [("VISION_THREADS", "many"), ("VISION_DEVICE", "cuda")])
def test_setting_that_cannot_be_met_refuses(project: Project, variable: str, value: str) -> None:
    message = serve(project, **{variable: value, "CUDA_VISIBLE_DEVICES": ""})
    assert variable in message
    assert value in message


def test_bento_refuses_a_contract_that_disagrees_and_a_model_that_is_not_its_own(
    project: Project, tmp_path: Path
) -> None:
    changed = copy_of(project, tmp_path)
    built = changed.build()
    assert built.returncode == 0, built.stderr
    assert "but this Bento holds vision-classifier:" in serve(changed, "vision:latest", VISION_MODEL="other:latest")
    [path] = changed.home.glob("models/vision-classifier/*/contract.json")
    path.write_text(path.read_text().replace('"height": 16', '"height": 32'))
    assert "height is 32 in contract.json but 16 in model.onnx" in serve(changed, "vision:latest")


@pytest.mark.parametrize("has_detector", [True, False])
def test_detector_does_not_start_without_the_classifier_that_is_named(
    project: Project, tmp_path: Path, has_detector: bool
) -> None:
    home = tmp_path / "home"
    with bentoml_home(home):
        detector, classifier = store_detector(), store_crop_classifier()
    changed = Project(project.folder, home)
    if not has_detector:
        message = serve(changed, VISION_MODEL=classifier)
        assert f"{classifier} classifies what a detector finds, and there is no detector beside it" in message
        return
    [path] = home.glob("models/vision-crop-classifier/*/model.onnx")
    path.write_bytes(path.read_bytes()[:1000])
    assert "model.onnx cannot be loaded as an ONNX model" in serve(changed, VISION_MODEL=f"{detector},{classifier}")


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "timm"):
            raise ImportError(name + " must not be imported by the service")
sys.meta_path.insert(0, Refuse())
from starlette.testclient import TestClient
import service
with TestClient(service.Vision.to_asgi()) as client:
    answer = client.post("/predict", files=[("images", open(sys.argv[1], "rb"))])
assert answer.status_code == 200, answer.text
print(answer.json()[0]["label"])
"""


def test_service_imports_and_predicts_where_torch_cannot_be_imported(project: Project, tmp_path: Path) -> None:
    picture = write_pictures(tmp_path)["green"]
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, str(picture)],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split()[-1:] == ["green"], done.stderr


ALONE = """
from starlette.testclient import TestClient
import service, sys
with TestClient(service.Vision.to_asgi()) as client:
    for path in ("/segment", "/segment/base64", "/predict", "/predict/base64"):
        print(path, client.post(path, files=[("images", open(sys.argv[1], "rb"))]).status_code)
    paths = client.get("/docs.json").json()["paths"]
    print(*sorted(path for path, operations in paths.items() if "post" in operations))
    from prometheus_client import REGISTRY
    names = {metric.name for metric in REGISTRY.collect()}
    print("vision_segment_refusals" in names, "vision_refusals" in names)
    print("/ui", client.get("/ui").status_code, client.get("/ui/page.js").status_code, "./ui" in client.get("/").text)
"""


def test_segmenter_alone_is_served_without_predict(project: Project, tmp_path: Path) -> None:
    changed = copy_of(project, tmp_path)
    with bentoml_home(changed.home):
        store_segmenter()
    picture = write_pictures(tmp_path)["red"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(picture)],
        cwd=changed.folder,
        env={**changed.environment, "VISION_MODEL": "vision-segmenter", "VISION_UI": "0"},
        capture_output=True,
        text=True,
    )
    assert [line for line in done.stdout.splitlines() if not line.startswith("{")] == [
        *("/segment 200", "/segment/base64 200", "/predict 404", "/predict/base64 404"),
        "/segment /segment/base64",
        "True False",
        "/ui 404 404 False",
    ], done.stderr
