"""Contenders read the same files to batches of the same size, and ratios are of turns of one round."""

import json
from pathlib import Path

import pytest

from benchmarks.drawn_pictures import as_folder, draw_folder
from benchmarks.input_pipeline import BATCH_SIZE, INPUT_PX, contenders, main
from benchmarks.pages.input_pipeline_page import markdown
from benchmarks.pages.input_pipeline_ratios import CACHED, LEAN_PEER, OURS, PEER, Turn, ratios


def _round(speed: float) -> list[Turn]:
    rates = {OURS: 30, CACHED: 80, PEER: 20, LEAN_PEER: 40}
    return [Turn("tiles", name, 0, rate * speed, 1000 / rate) for name, rate in rates.items()]


def test_a_machine_that_halves_its_speed_between_rounds_changes_no_ratio() -> None:
    turns = [*_round(1.0), *_round(0.5)]
    assert ratios(turns, "tiles", 0, PEER) == {OURS: [1.5, 1.5], CACHED: [4.0, 4.0]}
    assert ratios(turns, "tiles", 0, LEAN_PEER) == {OURS: [0.75, 0.75], CACHED: [2.0, 2.0]}
    assert "| tiles | 0 | 1.50 | 4.00 | 0.75 | 2.00 | 33.33 | 12.50 | 50.00 | 25.00 |" in markdown(turns)


def test_all_contenders_make_batches_of_the_same_pictures(tmp_path: Path) -> None:
    _, manifest, folder = draw_folder(tmp_path, 60, 40, 2 * BATCH_SIZE + 5)
    rivals = contenders(manifest, folder, 0, tmp_path / "cache")
    assert set(rivals) == {OURS, CACHED, PEER, LEAN_PEER}
    for name, epoch in rivals.items():
        batches = list(epoch(1))
        assert len(batches) == 2, name
        images = batches[0][0]  # type: ignore[index]
        assert images.shape[0] == BATCH_SIZE
        assert sorted(images.shape[1:]) == [3, INPUT_PX, INPUT_PX]
        scaled = images.float() / 255 if name != PEER else images * 0.5 + 0.5
        assert 0.3 < scaled.mean() < 0.7


def test_a_manifest_becomes_a_folder_that_torchvision_reads_the_same(tmp_path: Path) -> None:
    _, manifest, folder = draw_folder(tmp_path, 30, 20, 6)
    _, same, linked = as_folder(manifest, tmp_path / "linked")
    assert same is manifest
    assert sorted(p.read_bytes() for p in linked.rglob("*.jpg")) == sorted(
        p.read_bytes() for p in folder.rglob("*.jpg")
    )


@pytest.mark.slow
def test_the_command_writes_json_page_and_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--rounds", "1", "--workers", "0", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "input_pipeline.json").read_text())
    assert {turn["contender"] for turn in report["turns"]} == {OURS, CACHED, PEER, LEAN_PEER}
    assert all(turn["pictures_per_s"] > 0 and turn["cpu_ms_per_picture"] > 0 for turn in report["turns"])
    assert "torchvision" in report["machine"]["versions"]
    page = (tmp_path / "input_pipeline.html").read_text()
    assert "600 x 400" in page
    assert "<img" in page
    assert capsys.readouterr().out.startswith("| pictures | workers")
