"""A model that the service would not answer as its contract says is refused when it is loaded."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bentoml
import pytest

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ContractError
from runtime.serving import served_model
from runtime.serving.model_reference import ModelUnavailable
from tests.runtime.answers.drawn_regions import segmenter
from tests.service.detecting_models import detection_contract


@pytest.mark.parametrize("stated", [{"tiles": {"size_px": 512}}, {"roi": (0, 0, 20, 20)}, {}])
def test_a_contract_of_tiles_is_refused_and_not_ignored(
    stated: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CONTRACT_FILE).write_text(segmenter(**stated).to_json(), encoding="utf-8")
    (tmp_path / ONNX_FILE).write_bytes(b"not read here")
    model = SimpleNamespace(path=str(tmp_path), tag=bentoml.Tag("vision-segmenter", "1"))
    monkeypatch.setattr(served_model, "find_models", lambda _: {"segmentation": model})
    if not stated:
        served = served_model.load_served_models(None, computes=False)["segmentation"]
        assert (served.identity.name, served.contract) == ("vision-segmenter", segmenter())
        return
    with pytest.raises(ModelUnavailable, match="states tiles or a region of interest") as refused:
        served_model.load_served_models(None, computes=False)
    assert isinstance(refused.value.__cause__, ContractError)


@pytest.mark.parametrize(("of_detector", "of_segmenter"), [(4095, 1023), (4095, None), (4095, 4095)])
def test_models_that_would_decode_one_picture_differently_are_refused(
    of_detector: int, of_segmenter: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = {
        "detection": detection_contract(max_value=of_detector), "segmentation": segmenter(max_value=of_segmenter)
    }  # fmt: skip
    models = {}
    for role, contract in contracts.items():
        (tmp_path / role).mkdir()
        (tmp_path / role / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
        (tmp_path / role / ONNX_FILE).write_bytes(b"not read here")
        models[role] = SimpleNamespace(path=str(tmp_path / role), tag=bentoml.Tag(contract.name, "1"))
    monkeypatch.setattr(served_model, "find_models", lambda _: models)
    if of_detector == of_segmenter:
        assert set(served_model.load_served_models(None, computes=False)) == set(models)
        return
    with pytest.raises(
        ModelUnavailable, match=f"max_value {of_detector} and {of_segmenter}.*/detect decodes a picture"
    ):
        served_model.load_served_models(None, computes=False)
