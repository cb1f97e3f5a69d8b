"""A detector is packed with the classifier of its crops, if there is one, each under its own card."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from dataset.manifest import PICTURE_SHA256, Manifest
from dataset.outputs.tasks import ARTIFACTS
from export import packed_models
from export.packed_models import TASKS, bento_card, models_to_pack
from runtime.model.card import card_models_sha256
from runtime.model.contract import ONNX_FILE
from runtime.model.hashing import file_sha256
from runtime.serving.model_reference import ModelUnavailable, StaleCard
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import card_text
from tests.service.detecting_models import store_crop_classifier, store_detector


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with bentoml_home(tmp_path / "home"):
        yield tmp_path


def test_a_detector_is_packed_with_the_newest_classifier_of_crops_or_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = store_detector()
    assert {role: str(model.tag) for role, model in models_to_pack(TASKS["detection"]).items()} == {
        "detection": detector
    }
    store_crop_classifier()
    newest = store_crop_classifier(crop_margin=0.1)
    packed = models_to_pack(TASKS["detection"])
    assert {role: str(model.tag) for role, model in packed.items()} == {
        "detection": detector, "crop-classification": newest
    }  # fmt: skip
    monkeypatch.setenv("VISION_MODEL", detector)
    assert set(models_to_pack(TASKS["detection"])) == {"detection"}
    monkeypatch.setenv("VISION_MODEL", f"{newest},{detector}")
    with pytest.raises(ModelUnavailable, match=f"names {newest}, a model of crop-classification, but one of segment"):
        models_to_pack(TASKS["segmentation"])


def test_a_classifier_of_crops_of_other_pictures_is_passed_over_and_said_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detector, older, newest = store_detector(), store_crop_classifier(), store_crop_classifier(crop_margin=0.1)
    pictures = Manifest(pd.DataFrame({"sha256": ["a", "b"]}), home)
    crops = {tag: Manifest(pd.DataFrame({PICTURE_SHA256: [of]}), home) for tag, of in ((older, "a"), (newest, "z"))}
    measured = {tag: SimpleNamespace(manifest=manifest) for tag, manifest in {**crops, detector: pictures}.items()}
    monkeypatch.setattr(packed_models, "find_measured_model", measured.get)
    packed = models_to_pack(TASKS["detection"])
    assert str(packed["crop-classification"].tag) == older
    assert f"{newest} is left out: its crops are of other pictures than those of {detector}" in caplog.text
    measured[older] = measured[newest]
    assert set(models_to_pack(TASKS["detection"])) == {"detection"}
    with pytest.raises(ModelUnavailable, match=f"trained on crops of the pictures of {detector}: run `make register T"):
        models_to_pack(TASKS["crop-classification"])


def test_the_card_of_a_classifier_of_crops_is_that_of_the_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARTIFACTS, "detection", Path("artifacts/detection"))
    store_detector()
    store_crop_classifier()
    models = models_to_pack(TASKS["detection"])
    digests = {role: file_sha256(Path(model.path_of(ONNX_FILE))) for role, model in models.items()}
    cards = {
        "detection": home / "artifacts/detection/MODEL_CARD.md",
        "crop-classification": Path(models["crop-classification"].path) / "MODEL_CARD.md",
    }
    cards["detection"].parent.mkdir(parents=True)
    cards["detection"].write_text(card_text(Path(models["detection"].path) / ONNX_FILE))
    with pytest.raises(StaleCard, match=r"cannot read the model card .*vision-crop-classifier"):
        bento_card(home, models)
    cards["crop-classification"].write_text(card_text(Path(models["crop-classification"].path) / ONNX_FILE))
    assert card_models_sha256(bento_card(home, models)) == (digests["detection"], digests["crop-classification"])


def test_both_are_classifier_and_segmenter() -> None:
    assert TASKS["both"] == ("classification", "segmentation")
    assert TASKS["all"] == ("classification", "segmentation", "detection")
    assert TASKS["crop-classification"] == ("detection", "crop-classification")
