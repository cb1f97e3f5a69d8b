"""Of a segmentation model a row has the outlines, too: those that the service would answer with."""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco

from runtime.answers.results import ANSWERS, ModelIdentity
from runtime.model.preprocess import read_placed
from runtime.model.session import Predictor
from runtime.model.stated_filters import HookFilter
from scoring import merge, rows, score, shard
from scoring.plan import PLAN_FILE, Plan
from tests.onnx_fixture import write_tiny_model
from tests.onnx_segmenter import Spot, draw_spots, segmentation_contract, write_segmenter
from tests.scoring.test_score import plan_run, scored

SPOTS: tuple[Spot, ...] = (("red", (20, 20, 70, 60)), ("blue", (75, 10, 95, 30)), ("red", (40, 4, 50, 14)))
NUM_SPOTS = (0, 1, 2, 3, 3, 2, 1)


@pytest.fixture
def segmenter_dir(tmp_path: Path) -> Path:
    """A model whose pictures are letterboxed, so that a place that was mixed up shows."""
    write_segmenter(tmp_path / "segmenter", segmentation_contract(resize="letterbox"))
    return tmp_path / "segmenter"


@pytest.fixture
def spotted_dir(tmp_path: Path) -> Path:
    """A picture for each of NUM_SPOTS, no two of one size; a JPEG that is read at reduced scale; and a broken one."""
    folder = tmp_path / "spotted"
    folder.mkdir()
    for number, num_spots in enumerate(NUM_SPOTS):
        draw_spots(96 + 7 * number, 72 + 3 * number, SPOTS[:num_spots]).save(folder / f"{number}.png")
    draw_spots(96, 72, SPOTS).resize((960, 720)).save(folder / "large.jpg")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


def test_rows_have_the_regions_that_the_service_makes_of_the_same_picture(
    spotted_dir: Path, segmenter_dir: Path, tmp_path: Path
) -> None:
    plan_run(spotted_dir, tmp_path / "run", segmenter_dir, 4, "segmentation")
    table = scored(tmp_path / "run", "--batch-size", "3", "--workers", "2")
    predictor = Predictor.load(segmenter_dir)
    identity = ModelIdentity(name="m", version="v", sha256=predictor.sha256)
    counts = []
    for row in table.to_pylist():
        if row["path"] == "broken.png":
            assert (row["error"], row["width"], row["num_regions"], row["regions"]) == (
                "unsupported_format", None, None, None,
            )  # fmt: skip
            continue
        image, place = read_placed((spotted_dir / row["path"]).read_bytes(), predictor.contract)
        outputs = predictor.predict(image[None])
        [answer] = ANSWERS["segmentation"](outputs, [place], predictor.contract, identity)
        assert answer is not None
        expected = json.loads(answer.model_dump_json())
        assert row["regions"] == expected["regions"], "exactly, to the last bit"
        assert {name: row[name] for name in ("width", "height", "num_regions", "label", "class_id")} == {
            name: expected[name] for name in ("width", "height", "num_regions", "label", "class_id")
        }
        for region in row["regions"]:
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with NumPy 2
                pixels = np.asarray(coco.decode(region["mask"]))
            assert (pixels.shape, pixels.sum()) == ((row["height"], row["width"]), region["area_px"])
        counts.append(len(row["regions"]))
    assert counts == [*NUM_SPOTS, 3]


def test_the_summary_counts_regions(spotted_dir: Path, segmenter_dir: Path, tmp_path: Path) -> None:
    plan_run(spotted_dir, tmp_path / "run", segmenter_dir, 4, "segmentation")
    scored(tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["num_scored"], summary["num_errors"], summary["num_with_regions"]) == (8, 1, 7)
    assert summary["regions"] == {"blue": 5, "red": 10}


def test_the_same_bytes_whatever_the_batches_and_threads_also_in_small_groups(
    spotted_dir: Path, segmenter_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_run(spotted_dir, tmp_path / "whole", segmenter_dir, 100, "segmentation")
    plan_run(spotted_dir, tmp_path / "grouped", segmenter_dir, 100, "segmentation")
    whole = scored(tmp_path / "whole")
    result = tmp_path / "grouped/results/00000.parquet"
    monkeypatch.setattr(rows, "GROUP_BYTES", 2 * rows.REGION_BYTES)
    grouped = scored(tmp_path / "grouped")
    first = result.read_bytes()
    assert grouped.equals(whole)
    for path in (result, tmp_path / "grouped/scores.parquet"):
        file = pq.ParquetFile(path)
        groups = [file.read_row_group(number, ["regions"])["regions"] for number in range(file.num_row_groups)]
        assert [len(regions) for regions in groups] == [3, 1, 1, 1, 3], "the last of 6, broken and large"
    result.unlink()
    scored(tmp_path / "grouped", "--batch-size", "1", "--workers", "3")
    assert result.read_bytes() == first


def test_a_filter_may_change_the_regions(spotted_dir: Path, tmp_path: Path) -> None:
    hook = HookFilter(path="tests.scoring.blocking_filter:largest")
    write_segmenter(tmp_path / "model", segmentation_contract(filters=(hook,)))
    plan_run(spotted_dir, tmp_path / "run", tmp_path / "model", 4, "segmentation")
    regions = scored(tmp_path / "run")["regions"].to_pylist()
    assert [len(found) for found in regions if found is not None] == [min(1, number) for number in (*NUM_SPOTS, 3)]


def test_a_row_without_its_regions_is_found(
    spotted_dir: Path, segmenter_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_run(spotted_dir, tmp_path / "run", segmenter_dir, 4, "segmentation")
    scored(tmp_path / "run")
    path = tmp_path / "run/results/00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("regions")
    nothing = pa.array([None] * table.num_rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), nothing), path)
    assert merge.main([str(tmp_path / "run")]) == 2
    assert "00001.parquet has rows with neither or both of regions and error" in capsys.readouterr().err


@pytest.mark.parametrize("planned", ["classification", "segmentation"])
def test_a_model_of_another_task_is_refused_by_name(
    planned: str, spotted_dir: Path, segmenter_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_model(tmp_path / "classifier")
    models = {"classification": tmp_path / "classifier", "segmentation": segmenter_dir}
    (other,) = models.keys() - {planned}
    arguments = [str(spotted_dir), str(tmp_path / "run"), "--task", planned, "--model"]
    assert shard.main([*arguments, str(models[other])]) == 2
    assert f"is of {other}: say --task {other}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert shard.main([*arguments, str(models[planned])]) == 0
    assert shard.main([str(spotted_dir), str(tmp_path / "run"), "--task", other, "--model", str(models[other])]) == 2
    assert "another run: task, model, model_dir, model_sha256 differ" in capsys.readouterr().err
    models[planned].rename(tmp_path / "away")
    models[other].rename(models[planned])
    assert score.main([str(tmp_path / "run")]) == 2
    assert f"is of {other}, but the run was planned with one of {planned}" in capsys.readouterr().err


def test_a_plan_of_version_1_is_one_of_classification_and_stays_usable(spotted_dir: Path, tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "classifier")
    arguments = [str(spotted_dir), str(tmp_path / "run"), "--model", str(tmp_path / "classifier")]
    assert shard.main(arguments) == 0
    path = tmp_path / "run" / PLAN_FILE
    planned = Plan.read(tmp_path / "run")
    fields = json.loads(path.read_text())
    assert (fields["schema_version"], fields.pop("task")) == (2, "classification")
    path.write_text(json.dumps({**fields, "schema_version": 1}))
    assert Plan.read(tmp_path / "run") == planned
    assert shard.main(arguments) == 0
    assert "regions" not in scored(tmp_path / "run").column_names
    assert "regions" not in json.loads((tmp_path / "run/summary.json").read_text())


@pytest.mark.parametrize("parts", [{"tiles": {"size_px": 64}}, {"roi": (1, 1, 50, 40)}])
def test_a_model_that_looks_at_parts_of_pictures_is_refused(
    parts: dict[str, Any], spotted_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_segmenter(tmp_path / "model", segmentation_contract(**parts))
    arguments = [str(spotted_dir), str(tmp_path / "run"), "--task", "segmentation", "--model", str(tmp_path / "model")]
    assert shard.main(arguments) == 2
    assert "states tiles or a region of interest, and pictures are scored as wholes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "name"),
    [("classification", "vision-classifier"), ("segmentation", "vision-segmenter"), ("detection", "vision-detector")],
)
def test_the_task_names_the_model_where_nobody_does(
    task: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def find(model: str) -> tuple[str, Path]:
        asked.append(model)
        return model, tmp_path

    monkeypatch.setattr(shard, "model_folder", find)
    assert shard.main([str(tmp_path), str(tmp_path / "run"), "--task", task]) == 2  # there is no contract
    assert asked == [f"{name}:latest"]
    assert "cannot read the model contract" in capsys.readouterr().err


def test_the_snippet_of_docs_draws_the_largest_region_of_the_first_picture_with_any(
    spotted_dir: Path, segmenter_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_run(spotted_dir, tmp_path / "run", segmenter_dir, 4, "segmentation")
    scored(tmp_path / "run")
    page = (Path(__file__).parents[2] / "docs/OUTLINES.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.+?)```", page, re.S)
    monkeypatch.chdir(tmp_path / "run")
    names: dict[str, Any] = {}
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # pycocotools with NumPy 2
        exec(snippet, names)
    rows_, columns = np.nonzero(names["pixels"])
    _, (left, top, right, bottom) = SPOTS[0]
    assert names["pixels"].shape == (75, 103)
    found = (columns.min(), rows_.min(), columns.max() + 1, rows_.max() + 1)
    assert found == pytest.approx((left, top, right, bottom), abs=2)
