"""Which models are served or built, and what is said where they cannot be."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bentoml
import pytest

from runtime.model.contract import CONTRACT_FILE
from runtime.serving.model_reference import ModelUnavailable, find_models
from tests.bentoml_home import bentoml_home
from tests.onnx_fixture import write_tiny_model
from tests.onnx_segmenter import store_segmenter
from tests.service.detecting_models import store_crop_classifier, store_detector


@pytest.fixture(scope="module")
def tags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Two classifiers and a segmenter in a store, by what they are called here."""
    with bentoml_home(tmp_path_factory.mktemp("home")):
        found = {
            "segmenter": store_segmenter(), "detector": store_detector(), "crop classifier": store_crop_classifier()
        }  # fmt: skip
        for name in ("vision-classifier", "other-classifier"):
            with bentoml.models.create(name) as model:
                write_tiny_model(Path(model.path))
            found[name] = str(model.tag)
        yield found


def bento_of(*tags: str) -> Any:
    return SimpleNamespace(info=SimpleNamespace(all_models=[SimpleNamespace(tag=tag) for tag in tags]))


def found(bento: Any = None) -> dict[str, str]:
    return {role: str(model.tag) for role, model in find_models(bento).items()}


def test_one_model_of_each_task_is_found_by_its_contract(tags: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert found() == {"classification": tags["vision-classifier"]}
    monkeypatch.setenv("VISION_MODEL", "vision-segmenter")
    assert found() == {"segmentation": tags["segmenter"]}
    monkeypatch.setenv("VISION_MODEL", "vision-segmenter,other-classifier:latest")
    assert found() == {"segmentation": tags["segmenter"], "classification": tags["other-classifier"]}


def test_two_models_of_a_task_are_refused_by_the_settings_name(
    tags: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_MODEL", "vision-classifier,other-classifier")
    with pytest.raises(ModelUnavailable) as refused:
        find_models()
    assert str(refused.value) == (
        f"VISION_MODEL=vision-classifier,other-classifier names two models for classification, "
        f"{tags['vision-classifier']} and {tags['other-classifier']}; name at most one of each task"
    )


def test_model_that_is_not_there_or_has_no_contract_is_named(
    tags: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_MODEL", "vision-classifier,nothing")
    with pytest.raises(ModelUnavailable, match="there is no model 'nothing' in the model store; run `make demo`"):
        find_models()
    with bentoml.models.create("bare") as bare:
        (Path(bare.path) / CONTRACT_FILE).write_text("{}")
    monkeypatch.setenv("VISION_MODEL", "bare")
    with pytest.raises(ModelUnavailable, match=f"{bare.tag} cannot be used: .*not a valid model contract"):
        find_models()


def test_bento_serves_what_it_holds(tags: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"classification": tags["other-classifier"], "segmentation": tags["segmenter"]}
    bento = bento_of(*both.values())
    assert found(bento) == both
    assert found(bento_of(tags["segmenter"])) == {"segmentation": tags["segmenter"]}
    monkeypatch.setenv("VISION_MODEL", tags["segmenter"])
    assert found(bento) == {"segmentation": tags["segmenter"]}
    monkeypatch.setenv("VISION_MODEL", f"vision-classifier:latest,{tags['segmenter']}")
    with pytest.raises(ModelUnavailable, match=r"but this Bento holds .* and not vision-classifier:latest; unset it"):
        find_models(bento)


def test_classifiers_of_pictures_and_of_crops_stand_side_by_side(
    tags: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_MODEL", "vision-crop-classifier,vision-classifier,vision-detector")
    assert found() == {
        "crop-classification": tags["crop classifier"], "classification": tags["vision-classifier"],
        "detection": tags["detector"],
    }  # fmt: skip


def test_classifier_of_crops_without_a_detector_is_refused(
    monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    monkeypatch.setenv("VISION_MODEL", "vision-crop-classifier,vision-segmenter")
    with pytest.raises(ModelUnavailable) as refused:
        find_models()
    assert str(refused.value) == (
        f"{tags['crop classifier']} classifies what a detector finds, and there is no detector beside it: name one in "
        "VISION_MODEL, too"
    )
