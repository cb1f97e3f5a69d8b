"""The cost of filters that look at pixels: which are measured, and what is said of them."""

import json
from pathlib import Path

import pytest

from benchmarks import image_filters
from benchmarks.image_filters import load_steps, measure
from benchmarks.workload import small_picture
from tests.onnx_filters import write_face_detector

REPOSITORY = Path(__file__).parents[2]


def params_with(tmp_path: Path, filters: str) -> Path:
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    assert text.count("  filters: []") == 1
    (tmp_path / "params.yaml").write_text(text.replace("  filters: []", f"  filters: {filters}"), encoding="utf-8")
    return tmp_path / "params.yaml"


def test_filters_of_params_are_measured_apart_from_decoding(tmp_path: Path) -> None:
    sha256 = write_face_detector(tmp_path / "faces.onnx")
    options = json.dumps({"file": str(tmp_path / "faces.onnx"), "sha256": sha256})
    looks = f'{{kind: image, path: "runtime.image_filters.faces:faces", options: {options}}}'
    stated = f"[{{kind: abstain, below: 0.5}}, {looks}]"
    steps = load_steps(params_with(tmp_path, stated))
    [cost] = measure(steps, {"tile": small_picture()}, num_rounds=2)
    assert (cost.filter, cost.picture) == ("runtime.image_filters.faces:faces", "tile")
    assert 0 < cost.decode_ms.low <= cost.decode_ms.median <= cost.decode_ms.high
    assert cost.look_ms.low > 0
    assert "runtime.image_filters.faces:faces, tile: decoding " in cost.in_words()


def test_nothing_to_measure_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert image_filters.main(["--params", str(params_with(tmp_path, "[]")), "--out", str(tmp_path / "out.json")]) == 2
    assert "states no filter of kind `image`" in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
    with pytest.raises(SystemExit, match="2"):
        image_filters.main(["--rounds", "0"])
    assert "--rounds must be at least 1, got 0" in capsys.readouterr().err
