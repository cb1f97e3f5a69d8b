"""Maps as the service answers them; what does not fit the predictions is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.outlines.map_folder import MapFolder
from evaluation.predicted_maps import write_map
from evaluation.predictions import Predictions, PredictionsError
from runtime.model.contract import ClassificationContract, SegmentationContract
from tests.evaluation.outlines.drawn import drawn

CLASSES = ("Crack", "Free")
FIELDS = {"classes": CLASSES, "height": 8, "width": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3}


def write(folder: Path, *, resize: str = "stretch", num_maps: int = 2, size: int = 8) -> Predictions:
    contract = SegmentationContract(**FIELDS, regions=("Crack",), resize=resize, threshold=0.6, min_region_px=2)
    (folder / "contract.json").write_text(contract.to_json())
    for row in range(num_maps):
        foreground = np.zeros((size, size), np.float32)
        foreground[:, 2:4] = 0.6
        foreground[0, 6], foreground[3, 3] = 0.99, 0.59
        write_map(folder, row, np.ones((size, size), np.uint8), foreground)
    table = pd.DataFrame({"path": ["a.png", "b.png"], "label": "Free", "group": "g", "split": "test"})
    return Predictions.from_table(table, np.full((2, 2), 0.5), CLASSES)


def test_an_answer_is_what_reaches_the_threshold_in_parts_that_are_large_enough(tmp_path: Path) -> None:
    answer = MapFolder.open(tmp_path, write(tmp_path)).read(1, 16, 16)
    expected = np.array([drawn("..11....")[0]] * 8)
    expected[3, 3] = 0
    assert answer.regions.tolist() == expected.tolist()
    assert answer.foreground[0, 6] == pytest.approx(0.99, abs=0.002)


def test_letterbox_bars_hold_no_answer(tmp_path: Path) -> None:
    answer = MapFolder.open(tmp_path, write(tmp_path, resize="letterbox")).read(0, 16, 8)
    assert np.flatnonzero(answer.regions.any(axis=1)).tolist() == [2, 3, 4, 5]


def test_maps_of_other_predictions_are_refused(tmp_path: Path) -> None:
    predictions = write(tmp_path, num_maps=1)
    with pytest.raises(PredictionsError, match=r"1 predicted maps, but the predictions 2 rows.*training\.predict"):
        MapFolder.open(tmp_path, predictions)
    other = Predictions(**{**vars(write(tmp_path)), "classes": ("Crack", "Good")})
    with pytest.raises(PredictionsError, match=r"classes Crack, Free, but the predictions Crack, Good"):
        MapFolder.open(tmp_path, other)


def test_maps_of_another_size_or_region_are_named(tmp_path: Path) -> None:
    maps = MapFolder.open(tmp_path, write(tmp_path, size=7))
    with pytest.raises(PredictionsError, match=r"000001\.png is 7 x 7 pixels.*is 8 x 8; run python"):
        maps.read(1, 16, 16)
    write_map(tmp_path, 0, np.full((8, 8), 2, np.uint8), np.zeros((8, 8)))
    with pytest.raises(PredictionsError, match=r"000000\.png holds region 2, but its contract has 1; run python"):
        maps.read(0, 16, 16)


def test_a_contract_that_is_gone_or_of_another_task_is_named(tmp_path: Path) -> None:
    predictions = write(tmp_path)
    (tmp_path / "contract.json").write_text(ClassificationContract(**FIELDS).to_json())
    with pytest.raises(PredictionsError, match=r"contract\.json is of the task classification"):
        MapFolder.open(tmp_path, predictions)
    (tmp_path / "contract.json").unlink()
    with pytest.raises(PredictionsError, match=r"cannot read the model contract .*contract\.json.*; run python"):
        MapFolder.open(tmp_path, predictions)
