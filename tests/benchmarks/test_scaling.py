"""The scaling of scoring is measured over real tasks; how fast they are is not tested."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import scaling
from tests.onnx_fixture import COLOURS, write_tiny_model


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_tiny_model(tmp_path / "model")
    (tmp_path / "pictures").mkdir()
    for number in range(8):
        Image.new("RGB", (40, 30), COLOURS["red"]).save(tmp_path / f"pictures/{number}.png")
    paths = ["--source", str(tmp_path / "pictures"), "--out", str(tmp_path / "out/scaling.json")]
    return [*paths, "--model", str(tmp_path / "model"), "--turns", "1"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two single-core nodes need two cores")
def test_one_and_two_nodes_score_the_same_share_each(arguments: list[str], tmp_path: Path) -> None:
    assert scaling.main([*arguments, "--pictures-per-node", "4"]) == 0
    found = json.loads((tmp_path / "out/scaling.json").read_text())
    assert found["efficiency"] == pytest.approx(found["two_nodes"] / (2 * found["one_node"]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scaling.json"]


def test_too_few_pictures_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert scaling.main([*arguments, "--pictures-per-node", "5"]) == 2
    assert "has 8 pictures, 10 are needed" in capsys.readouterr().err
