"""Of a detector a row has the boxes, too: those that `/detect` answers with."""

import json
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.answers.detection import to_detections
from runtime.answers.results import ModelIdentity
from runtime.model.contract import CONTRACT_FILE, ONNX_FILE
from runtime.model.crops import open_picture
from runtime.model.session import Predictor
from runtime.model.stated_filters import AbstainFilter, HookFilter
from scoring import merge, rows, shard
from tests.scoring.test_score import plan_run, scored
from tests.service.detecting_models import BLUE, DEEP, SHALLOW, detection_contract, detector_graph, draw_objects

PICTURES: dict[str, dict[int, tuple[int, int, int]]] = {
    "0": {}, "1": {0: DEEP}, "2": {3: BLUE}, "3": {0: SHALLOW, 2: BLUE}, "4": {0: DEEP, 1: BLUE, 2: BLUE, 3: DEEP},
}  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A picture for each of PICTURES, no two of one size; a JPEG that is read at reduced scale; and a broken one."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, objects in PICTURES.items():
        number = int(name)
        (folder / f"{name}.png").write_bytes(draw_objects(objects, (96 + 7 * number, 72 + 3 * number)))
    (folder / "large.jpg").write_bytes(draw_objects(PICTURES["3"], (960, 720), "JPEG"))
    (folder / "broken.png").write_bytes(b"broken")
    return folder


def write_model(folder: Path, **changes: Any) -> Path:
    """Write a detector whose pictures are letterboxed, so that a place that was mixed up shows."""
    contract = detection_contract(resize="letterbox", **changes)
    folder.mkdir()
    (folder / CONTRACT_FILE).write_text(contract.to_json(), encoding="utf-8")
    onnx.save(detector_graph(contract), folder / ONNX_FILE)
    return folder


@pytest.fixture
def detector_dir(tmp_path: Path) -> Path:
    return write_model(tmp_path / "detector")


def test_rows_have_the_boxes_that_the_service_makes_of_the_same_picture(
    source: Path, detector_dir: Path, tmp_path: Path
) -> None:
    plan_run(source, tmp_path / "run", detector_dir, 4, "detection")
    table = scored(tmp_path / "run", "--batch-size", "3", "--workers", "2")
    predictor = Predictor.load(detector_dir)
    identity = ModelIdentity(name="m", version="v", sha256=predictor.sha256)
    counts = {}
    for row in table.to_pylist():
        if row["path"] == "broken.png":
            assert (row["error"], row["width"], row["num_detections"], row["detections"]) == (
                "unsupported_format", None, None, None,
            )  # fmt: skip
            continue
        data = (source / row["path"]).read_bytes()
        # As `/detect` of a detector alone opens it.
        image, place = open_picture(data, predictor.contract, is_cut=False).whole(predictor.contract)
        [answer] = to_detections(predictor.predict(image[None]), [place], detection_contract(), identity)
        assert answer is not None
        expected = json.loads(answer.model_dump_json(exclude={"detections": {"__all__": {"mask_rle"}}}))
        assert row["detections"] == expected["detections"], "exactly, to the last bit"
        same = ("width", "height", "label", "class_id")
        assert {name: row[name] for name in same} == {name: expected[name] for name in same}
        assert row["num_detections"] == len(row["detections"])
        counts[row["path"].partition(".")[0]] = row["num_detections"]
    assert counts == {name: len(objects) for name, objects in PICTURES.items()} | {"large": 2}
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["num_scored"], summary["num_errors"], summary["num_with_detections"]) == (6, 1, 5)
    assert summary["detections"] == {"blue": 5, "red": 5}
    assert "regions" not in summary


def test_the_same_bytes_whatever_the_batches_and_threads_also_in_small_groups(
    source: Path, detector_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan_run(source, tmp_path / "whole", detector_dir, 100, "detection")
    plan_run(source, tmp_path / "grouped", detector_dir, 100, "detection")
    whole = scored(tmp_path / "whole")
    monkeypatch.setattr(rows, "GROUP_BYTES", 2 * rows.REGION_BYTES)
    assert scored(tmp_path / "grouped", "--batch-size", "1", "--workers", "3").equals(whole)
    file = pq.ParquetFile(tmp_path / "grouped/results/00000.parquet")
    groups = [file.read_row_group(number, ["path"]).num_rows for number in range(file.num_row_groups)]
    assert groups == [3, 1, 1, 2], "0, 1 and 2; 3; 4; broken and large"


def test_a_row_without_its_boxes_is_found(
    source: Path, detector_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_run(source, tmp_path / "run", detector_dir, 4, "detection")
    scored(tmp_path / "run")
    path = tmp_path / "run/results/00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("detections")
    nothing = pa.array([None] * table.num_rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), nothing), path)
    assert merge.main([str(tmp_path / "run")]) == 2
    assert "00001.parquet has rows with neither or both of detections and error" in capsys.readouterr().err


def test_a_detector_may_abstain_but_its_hooks_are_refused_by_name(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    abstaining = write_model(tmp_path / "abstaining", filters=(AbstainFilter(below=0.99999),))
    plan_run(source, tmp_path / "run", abstaining, 100, "detection")
    rows_ = [row for row in scored(tmp_path / "run").to_pylist() if not row["error"]]
    assert [row["abstained"] for row in rows_] == [row["probability"] < 0.99999 for row in rows_]
    assert any(row["abstained"] for row in rows_)
    hooked = write_model(tmp_path / "hooked", filters=(HookFilter(path="tests.scoring.blocking_filter:largest"),))
    arguments = [str(source), str(tmp_path / "other"), "--task", "detection", "--model", str(hooked)]
    assert shard.main(arguments) == 2
    assert "states a hook, which is given the answer of the served pipeline" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
