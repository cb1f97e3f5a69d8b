"""Settings are measured as training would read, and the fewest processes that suffice are recommended."""

from pathlib import Path

import pytest

from dataset.manifest import Manifest
from training import loader_probe
from training.loader_probe import Probe, recommend, settings, table


def test_the_fewest_processes_that_nearly_reach_the_best_are_recommended() -> None:
    probes = [Probe(0, 1, 0.1, 100), Probe(1, 2, 0.2, 180), Probe(2, 1, 0.3, 391), Probe(2, 4, 0.3, 400),
              Probe(4, 1, 0.5, 410)]  # fmt: skip
    assert recommend(probes) == probes[2]
    assert recommend(probes[:1]) == probes[0]
    assert table(probes[:1]).splitlines()[1].split() == ["0", "-", "0.10", "s", "100"]


def test_settings_double_up_to_the_cores() -> None:
    assert settings(6, [1, 4]) == [(0, 1), (1, 1), (1, 4), (2, 1), (2, 4), (4, 1), (4, 4), (6, 1), (6, 4)]
    assert settings(1, [2]) == [(0, 2), (1, 2)]


def test_the_command_measures_every_setting_and_recommends_one(
    tiny_tiles_dir: Path, params_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    caplog.set_level("INFO")
    files = ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(params_file)]
    assert loader_probe.main([*files, "--batches", "3", "--prefetch", "2"]) == 0
    lines = caplog.text.splitlines()
    assert sum(" s  " in line for line in lines) == 2
    assert "recommended: --workers" in caplog.text


def test_a_batch_that_the_pictures_do_not_fill_twice_is_made_smaller_and_said(
    tiny_tiles_dir: Path, params_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    caplog.set_level("INFO")
    params_file.write_text(params_file.read_text().replace("batch_size: 12", "batch_size: 4000"))
    files = ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(params_file)]
    assert loader_probe.main([*files, "--batches", "2", "--prefetch", "2"]) == 0
    num_trained = len(Manifest.read(tiny_tiles_dir / "manifest.csv").select("train").table)
    assert f"{num_trained} pictures train: a batch has {num_trained // 2}" in caplog.text
