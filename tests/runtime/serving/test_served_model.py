"""A model is served with the contract that lies beside it, also where that states parts of pictures."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bentoml
import pytest

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE, ModelContract
from runtime.model.roles import role_of
from runtime.serving import served_model
from runtime.serving.model_reference import ModelUnavailable
from tests.runtime.answers.drawn_regions import segmenter
from tests.service.detecting_models import crop_contract, detection_contract


@pytest.mark.parametrize("stated", [{"tiles": {"size_px": 512}}, {"roi": (0, 0, 20, 20)}, {}])
def test_contract_of_the_model_is_what_is_served(
    stated: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / CONTRACT_FILE).write_text(segmenter(**stated).to_json(), encoding="utf-8")
    (tmp_path / ONNX_FILE).write_bytes(b"not read here")
    model = SimpleNamespace(path=str(tmp_path), tag=bentoml.Tag("vision-segmenter", "1"))
    monkeypatch.setattr(served_model, "find_models", lambda _: {"segmentation": model})
    served = served_model.load_served_models(None, computes=False)["segmentation"]
    assert (served.identity.name, served.contract) == ("vision-segmenter", segmenter(**stated))


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (segmenter(max_value=4095), ""),
        (segmenter(max_value=1023), "max_value 4095 and 1023.*/detect decodes a picture"),
        (segmenter(), "max_value 4095 and None"),
        (
            segmenter(max_value=4095, tiles={"size_px": 512}),
            "states tiles or a region of interest, and beside a detector",
        ),
        (crop_contract(max_value=4095), ""),
        (crop_contract(), ""),
        (crop_contract(max_value=1023), r"crops.*\(max_value 1023\), and /detect.*\(max_value 4095\)"),
    ],
)
def test_model_beside_a_detector_must_look_at_the_same_pixels(
    beside: ModelContract, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts = {"detection": detection_contract(max_value=4095), role_of(beside): beside}
    models = {}
    for role, contract in contracts.items():
        (tmp_path / role).mkdir()
        (tmp_path / role / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
        (tmp_path / role / ONNX_FILE).write_bytes(b"not read here")
        models[role] = SimpleNamespace(path=str(tmp_path / role), tag=bentoml.Tag(contract.name, "1"))
    monkeypatch.setattr(served_model, "find_models", lambda _: models)
    if not message:
        assert set(served_model.load_served_models(None, computes=False)) == set(models)
        return
    with pytest.raises(ModelUnavailable, match=message):
        served_model.load_served_models(None, computes=False)
