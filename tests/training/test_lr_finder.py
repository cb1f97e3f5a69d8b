"""The rate rises until the loss diverges, and the suggestion is where it falls fastest."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from training import lr_finder
from training.lr_finder import Point, has_diverged, suggest


def _curve(losses: list[float]) -> list[Point]:
    lrs = np.geomspace(1e-6, 1, len(losses))
    return [Point(float(lr), loss, loss) for lr, loss in zip(lrs, losses, strict=True)]


def test_the_suggestion_is_where_the_loss_falls_fastest_before_its_least() -> None:
    steps = np.linspace(-1, 1, 41)
    falling = 2 - np.tanh(6 * steps)  # steepest at the 21st
    points = _curve([*falling.tolist(), 1.5, 3.0, 0.5e9])
    assert suggest(points) == pytest.approx(points[20].lr)
    assert suggest([*points, Point(2.0, math.nan, math.nan)]) == pytest.approx(points[20].lr)


def test_a_loss_that_never_falls_gives_no_suggestion() -> None:
    assert suggest(_curve([1.0 + 0.1 * i for i in range(30)])) is None
    assert suggest([Point(1e-3, math.nan, math.nan)]) is None


def test_the_search_ends_when_the_loss_explodes_or_is_no_number() -> None:
    assert not has_diverged(_curve([2.0, 1.0, 3.9]))
    assert has_diverged(_curve([2.0, 1.0, 4.1]))
    assert has_diverged([*_curve([2.0]), Point(1.0, math.inf, 2.0)])


@pytest.fixture
def small_params(tiny_params: dict[str, Any], tmp_path: Path) -> Path:
    tiny_params["contract"] |= {"height": 32, "width": 32}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tiny_params), encoding="utf-8")
    return path


def test_the_command_writes_csv_and_plot_and_suggests_for_the_phase(
    tiny_tiles_dir: Path, small_params: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    files = ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(small_params), "--out", str(tmp_path)]
    assert lr_finder.main([*files, "--phase", "0", "--steps", "40", "--from", "1e-5", "--to", "10"]) == 0
    rows = list(csv.DictReader((tmp_path / "lr_finder.csv").read_text().splitlines()))
    lrs = [float(row["lr"]) for row in rows]
    assert 10 <= len(lrs) <= 40
    assert lrs[0] == pytest.approx(1e-5)
    assert lrs == sorted(lrs)
    assert float(rows[0]["loss"]) == pytest.approx(float(rows[0]["smoothed"]))
    assert min(float(row["smoothed"]) for row in rows) < float(rows[0]["smoothed"])
    assert "suggested: train.phases.0.lr" in caplog.text
    plot = np.asarray(Image.open(tmp_path / "lr_finder.png").convert("L"))
    assert plot.shape[0] > 300
    assert (plot < 100).sum() > 500


def test_a_phase_that_is_not_there_is_named(
    tiny_tiles_dir: Path, small_params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--manifest", str(tiny_tiles_dir / "manifest.csv"), "--params", str(small_params)]
    assert lr_finder.main([*files, "--phase", "2"]) == 2
    assert "there is no phase 2: train.phases has 2, from 0" in capsys.readouterr().err
