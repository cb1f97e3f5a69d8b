"""Every command of evaluation on a real ONNX graph that outlines what is red or blue."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.annotations import write_mask
from dataset.description import DataDescription
from dataset.manifest import COLUMNS, Manifest
from evaluation import card, evaluate, inspect, predict, review
from evaluation.evaluation import Evaluation
from evaluation.model_review import ModelReview
from tests.onnx_fixture import tiny_contract, write_tiny_model
from tests.onnx_segmenter import REGIONS, SEGMENTER_CLASSES, draw_spots, segmentation_contract, write_segmenter

SPOT = (8.0, 10.0, 28.0, 30.0)
SPLITS = ("train", "val", "test", "test")
PARITY = {
    "split": "val", "num_images": 3, "batch_sizes": [1, 7], "max_probability_difference": 2.5e-7, "limit": 1e-4,
    "argmax_agreement": 1.0, "max_foreground_difference": 3.5e-6, "map_agreement": 0.99998,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one spot or none, asked and measured; the red spot of the last picture lies on its mask's side."""
    root = tmp_path_factory.mktemp("segmenter")
    rows = [_picture(root / "data", name, number) for name in SEGMENTER_CLASSES for number in range(len(SPLITS))]
    manifest = Manifest(pd.DataFrame(rows)[[*COLUMNS]], root / "data")
    manifest.write(root / "data/manifest.csv")
    DataDescription(
        name="spots", title="Spots", summary="Drawn.", group_meaning="spot", normal_class="grey", regions=REGIONS
    ).write(root / "data")
    lineage = {"data_sha256": manifest.sha256}
    write_segmenter(root / "export", segmentation_contract(lineage=lineage, min_region_px=4))
    (root / "export/parity.json").write_text(json.dumps(PARITY))
    (root / "params.yaml").write_text(
        "data: {near_duplicate_correlation: 0.99}\n"
        "evaluate: {seed: 0, confidence: 0.95, bootstrap_samples: 100}\n"
        "review: {seed: 0, max_robustness_images: 6, maps_per_class: 1, max_mask_images: 2}\n"
    )
    assert (
        inspect.main(["--data", f"{root}/data", "--out", f"{root}/inspection", "--params", f"{root}/params.yaml"]) == 0
    )
    assert predict.main(asking(root)) == 0
    assert evaluate.main(evaluating(root)) == 0
    return root


def asking(root: Path) -> list[str]:
    paths = {"model": "export", "manifest": "data/manifest.csv", "maps": "maps", "out": "predictions.csv"}
    return [part for name, path in paths.items() for part in (f"--{name}", str(root / path))]


def evaluating(root: Path) -> list[str]:
    paths = {"predictions": "predictions.csv", "maps": "maps", "data": "data", "inspection": "inspection"}
    paths |= {"out": "evaluation", "params": "params.yaml"}
    return [part for name, path in paths.items() for part in (f"--{name}", str(root / path))]


def _picture(data_dir: Path, label: str, number: int) -> dict[str, object]:
    path, mask_path = f"pictures/{label}{number}.png", f"masks/{label}{number}.png"
    (data_dir / "pictures").mkdir(parents=True, exist_ok=True)
    left, top, right, bottom = SPOT
    moved = (left + 4 * number, top, right + 4 * number, bottom)
    draw_spots(64, 48, [(label, moved)] if label in REGIONS else []).save(data_dir / path)
    if label in REGIONS:
        rows, columns = np.mgrid[:48, :64]
        middle = left + 4 * number + (10 if label == "red" and number == 3 else 0) + 9.5, top + 9.5
        inside = (columns - middle[0]) ** 2 + (rows - middle[1]) ** 2 <= 100
        write_mask(data_dir / mask_path, np.where(inside, REGIONS.index(label) + 1, 0).astype(np.uint8))
    return {
        "path": path, "label": label, "group": f"{label}{number}", "split": SPLITS[number], "split_by_image": "",
        "sha256": hashlib.sha256((data_dir / path).read_bytes()).hexdigest(), "width": 64, "height": 48,
        "mask": mask_path if label in REGIONS else "",
    }  # fmt: skip


def test_the_graphs_own_maps_are_measured(root: Path) -> None:
    assert len(list((root / "maps").glob("*.png"))) == 9
    outlines = Evaluation.read(root / "evaluation/evaluation.json").outlines
    assert outlines is not None
    _, blue, red = outlines.overlaps
    assert blue.dice.value == pytest.approx(1, abs=0.02)
    assert red.dice.value == pytest.approx((1 + 0.39) / 2, abs=0.03)  # one of two discs is half a diameter beside
    assert outlines.any_object.num_found == outlines.any_object.num_objects == 4
    assert outlines.worst[0].path == "pictures/red3.png"


def test_review_and_card_speak_of_a_model_that_outlines(root: Path) -> None:
    asked = ["--model", f"{root}/export", "--predictions", f"{root}/predictions.csv", "--out", f"{root}/review"]
    assert review.main([*asked, "--manifest", f"{root}/data/manifest.csv", "--params", f"{root}/params.yaml"]) == 0
    document = ModelReview.read(root / "review/review.json")
    assert document.robustness.unchanged.accuracy.value == 1
    assert document.attention.mask_agreement is not None
    paths = {"evaluation": "evaluation", "contract": "export/contract.json", "parity": "export/parity.json"}
    paths |= {
        "data": "data",
        "onnx": "export/model.onnx",
        "review": "review",
        "report": "report.html",
        "out": "CARD.md",
    }
    assert card.main([part for name, path in paths.items() for part in (f"--{name}", str(root / path))]) == 0
    text = (root / "CARD.md").read_text(encoding="utf-8")
    assert "pipeline_tag: image-segmentation" in text
    assert "the model outlines what it shows of blue, red" in text
    assert "## Outlines" in text
    assert "any region is 3.5e-06, and 99.998% of the pixels get the same answer from both." in text
    assert "## Robustness to changes of the picture" in text
    assert (root / "report.html").read_text(encoding="utf-8").count("image/png;base64") >= 1


def test_maps_of_an_earlier_run_do_not_outlive_it(root: Path) -> None:
    (root / "maps/000123.png").write_bytes(b"of a row that is no more")
    assert predict.main(asking(root)) == 0
    assert len(list((root / "maps").glob("*.png"))) == 9


def test_a_service_or_a_classifier_gives_no_maps(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        predict.main(["--url", "http://127.0.0.1:9", "--maps", str(tmp_path)])
    assert "--maps needs a model's folder" in capsys.readouterr().err
    write_tiny_model(tmp_path / "model", tiny_contract())
    paths = ["--manifest", f"{root}/data/manifest.csv", "--maps", f"{tmp_path}/maps", "--out", f"{tmp_path}/asked.csv"]
    assert predict.main(["--model", f"{tmp_path}/model", *paths]) == 2
    assert "outlines nothing: leave --maps out" in capsys.readouterr().err
