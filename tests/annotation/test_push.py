"""Pictures and suggestions are brought once, the least sure first, and what people may say is found."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import bentoml
import numpy as np
import pytest
from PIL import Image

from annotation.home import make_access, read_access
from annotation.labels_pull import pull
from annotation.push import TITLES, push
from annotation.server import server_environment
from annotation.template import AnnotationParams, names_for, write_template
from dataset.manifest import ManifestError
from runtime.label_studio.results import choice_result
from runtime.label_studio.template import Control, read_template
from tests.annotation.remembering_server import RememberingServer
from tests.bentoml_home import bentoml_home
from tests.dataset.picture_files import save, texture
from tests.onnx_fixture import CLASSES, write_tiny_model

CONTROL = Control("choices", "class", "image", CLASSES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    with bentoml_home(tmp_path / "bentoml") as home:
        yield home


def _store_model(scale: float) -> None:
    with bentoml.models.create("vision-classifier") as model:
        write_tiny_model(Path(model.path), scale=scale)


def _pictures(folder: Path) -> Path:
    """Three colours, from the purest to one that is nearly grey."""
    for name, red in (("sure", 250), ("middle", 180), ("doubtful", 130)):
        save(folder / "line 1" / f"{name}.png", np.full((20, 30, 3), (red, 120, 120), np.uint8))
    return folder


def test_new_pictures_come_once_and_the_least_sure_first(tmp_path: Path, store: Path) -> None:
    server, home, folder = RememberingServer(), tmp_path / "labels", _pictures(tmp_path / "unlabelled")
    _store_model(scale=8)
    pushed = push(server.client(), home, "classification", CLASSES, folder)
    assert (pushed.num_new, pushed.num_suggested) == (3, 3)
    assert [one["data"]["path"] for one in server.tasks] == [
        "line 1/doubtful.png", "line 1/middle.png", "line 1/sure.png"
    ]  # fmt: skip
    scores = [one["score"] for one in server.predictions]
    assert scores == sorted(scores)
    assert server.projects[0]["title"] == TITLES["classification"]
    assert server.projects[0]["sampling"] == "Uncertainty sampling"
    assert server.projects[0]["model_version"] == server.predictions[0]["model_version"]
    copy = home / "pictures" / server.tasks[0]["data"]["image"].rpartition("/")[2]
    assert copy.read_bytes() == (folder / "line 1/doubtful.png").read_bytes()
    again = push(server.client(), home, "classification", CLASSES, folder)
    assert (again.num_new, again.num_suggested) == (0, 0)
    assert (len(server.projects), len(server.tasks), len(server.predictions)) == (1, 3, 3)
    assert [one["path"] for one in server.storages] == [str(home / "pictures")]


def test_pictures_of_a_checkout_that_was_moved_are_shown_from_where_they_are(tmp_path: Path, store: Path) -> None:
    server, folder = RememberingServer(), _pictures(tmp_path / "unlabelled")
    for place in ("before", "after"):
        push(server.client(), tmp_path / place / "labels", "classification", CLASSES, folder)
    assert [one["path"] for one in server.storages] == [
        str(tmp_path / place / "labels/pictures") for place in ("before", "after")
    ]


def test_a_later_run_adds_new_pictures_and_a_newer_models_suggestions_for_what_is_not_labelled(
    tmp_path: Path, store: Path
) -> None:
    server, home, folder = RememberingServer(), tmp_path / "labels", _pictures(tmp_path / "unlabelled")
    assert push(server.client(), home, "classification", CLASSES, folder).num_suggested == 0
    _store_model(scale=8)
    server.tasks[0]["is_labeled"] = True
    save(folder / "new.png", texture(3))
    (folder / "line 1/sure.png").rename(folder / "moved.png")
    pushed = push(server.client(), home, "classification", CLASSES, folder)
    assert (pushed.num_new, pushed.num_suggested) == (1, 3)
    assert sorted(one["task"] for one in server.predictions) == [2, 3, 4]
    _store_model(scale=4)
    assert push(server.client(), home, "classification", CLASSES, None).num_suggested == 3


def test_a_name_of_the_model_that_people_may_not_say_is_told_and_never_suggested(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, folder = RememberingServer(), _pictures(tmp_path / "unlabelled")
    _store_model(scale=8)
    push(server.client(), tmp_path / "labels", "classification", CLASSES[1:], folder)
    assert "the model knows red, which people may not say here" in caplog.text
    assert [one["result"] for one in server.predictions] == [[], [], []]


def test_what_cannot_be_labelled_is_left_out_by_name(tmp_path: Path, store: Path) -> None:
    folder = _pictures(tmp_path / "unlabelled")
    (folder / "broken.png").write_bytes((folder / "line 1/sure.png").read_bytes()[:60])
    Image.fromarray(texture(1)).save(folder / "scan.tif")
    server = RememberingServer()
    pushed = push(server.client(), tmp_path / "labels", "classification", CLASSES, folder)
    assert pushed.left_out.keys() == {"broken.png", "scan.tif"}
    assert pushed.left_out["scan.tif"] == (
        "TIFF is not among what every browser shows (BMP, JPEG, PNG, WebP): convert it to PNG"
    )
    assert len(server.tasks) == 3


def test_a_picture_that_was_changed_and_one_of_another_folder_keep_their_own_names(tmp_path: Path, store: Path) -> None:
    """Else what is pulled of one would lie over the other."""
    server, home, folder = RememberingServer(), tmp_path / "labels", tmp_path / "unlabelled"
    for number in range(2):
        save(folder / "1.png", texture(number))
        push(server.client(), home, "classification", CLASSES, folder)
    save(tmp_path / "other/1.PNG", texture(2))
    push(server.client(), home, "classification", CLASSES, tmp_path / "other")
    export = [
        {**one, "annotations": [{"id": 1, "result": [choice_result(CONTROL, "red")], "completed_by": 1}]}
        for one in server.tasks
    ]
    pull(json.dumps(export).encode(), home, "classification")
    copies = sorted((home / "classification/folder/red").iterdir())
    assert "1.png" in {path.name for path in copies}
    assert {path.read_bytes() for path in copies} == {path.read_bytes() for path in (home / "pictures").iterdir()}
    assert len(copies) == 3


def test_what_a_person_added_to_the_template_stays_until_the_names_are_others(tmp_path: Path, store: Path) -> None:
    server, home, folder = RememberingServer(), tmp_path / "labels", _pictures(tmp_path / "unlabelled")
    push(server.client(), home, "classification", CLASSES, folder)
    [project] = server.projects
    project["label_config"] = project["label_config"].replace("</View>", '<TextArea name="t" toName="image"/></View>')
    push(server.client(), home, "classification", CLASSES, None)
    assert "TextArea" in project["label_config"]
    push(server.client(), home, "classification", CLASSES[:2], None)
    assert project["label_config"] == write_template("classification", CLASSES[:2])


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere", "is no folder"), ("empty", "no picture"), ("labels", "lies in")]
)
def test_a_folder_that_cannot_be_labelled_is_refused(tmp_path: Path, store: Path, name: str, reason: str) -> None:
    for folder in ("empty", "labels"):
        (tmp_path / folder).mkdir()
    with pytest.raises(ManifestError, match=reason):
        push(RememberingServer().client(), tmp_path / "labels", "classification", CLASSES, tmp_path / name)


def test_what_people_may_say_is_stated_or_the_models_or_the_datas(tmp_path: Path, store: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(ManifestError, match=r"annotation.classes: \[good, scratch\]"):
        names_for("classification", AnnotationParams(), data)
    data.mkdir()
    (data / "pictures.csv").write_text("path,label\na.png,dent\nb.png,clean\n")
    assert names_for("classification", AnnotationParams(), data) == ("clean", "dent")
    _store_model(scale=8)
    assert names_for("classification", AnnotationParams(), data) == CLASSES
    assert names_for("classification", AnnotationParams(classes=("x", "y")), data) == ("x", "y")
    with pytest.raises(ManifestError, match="different names"):
        names_for("detection", AnnotationParams(objects=("x", "x")), data)


def test_a_template_is_read_back_with_names_of_any_script() -> None:
    names = ('5" & <b>', "キズ")
    for task, kind in (
        ("classification", "choices"),
        ("segmentation", "brushlabels"),
        ("detection", "rectanglelabels"),
    ):
        template = read_template(write_template(task, names))  # type: ignore[arg-type]
        control = template.control(kind)  # type: ignore[arg-type]
        assert control is not None
        assert control.values == names
        assert bool(template.nothing) == (task != "classification")


def test_the_password_is_kept_from_others_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access = make_access(tmp_path)
    assert stat.S_IMODE((tmp_path / "access.json").stat().st_mode) == 0o600
    assert read_access(tmp_path) == access
    with pytest.raises(FileExistsError):
        make_access(tmp_path)
    monkeypatch.setenv("LABEL_STUDIO_SENTRY_DSN", "https://elsewhere")
    environment = server_environment(tmp_path, access)
    assert environment["LABEL_STUDIO_SENTRY_DSN"] == environment["LABEL_STUDIO_FRONTEND_SENTRY_DSN"] == ""
    assert environment["LABEL_STUDIO_COLLECT_ANALYTICS"] == "false"
    assert environment["PATH"] == os.environ["PATH"]


def test_a_database_whose_password_went_away_is_not_given_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server/label_studio.sqlite3").write_bytes(b"")
    with pytest.raises(ManifestError, match="bring it back"):
        make_access(tmp_path)
    (tmp_path / "access.json").write_text(json.dumps({"username": "x"}))
    with pytest.raises(ManifestError, match="cannot be read"):
        read_access(tmp_path)
