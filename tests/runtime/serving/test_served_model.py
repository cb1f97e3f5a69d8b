"""A model is served with the contract that lies beside it, also where that states parts of pictures."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bentoml
import pytest

from runtime.model.contract import CONTRACT_FILE, ONNX_FILE
from runtime.serving import served_model
from tests.runtime.answers.drawn_regions import segmenter


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
