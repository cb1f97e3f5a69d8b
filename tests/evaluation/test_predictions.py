"""The table of predictions: what is written is read back, what contradicts itself is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.predictions import Predictions, PredictionsError


def small_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": ["a/1.png", "a/2.png", "b/1.png"],
            "label": ["001", "None", "None"],
            "group": ["007", "nan", "nan"],
            "split": ["test", "val", "val"],
            "attributes.exposure": ["1", "", "NA"],
        }
    )


def small_predictions() -> Predictions:
    third = 1 / 3
    return Predictions.from_table(small_table(), [[0.9, 0.1], [third, 1 - third], [0.6, 0.4]], ("001", "None"))


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    written = small_predictions()
    written.write(tmp_path / "predictions.csv")
    read = Predictions.read(tmp_path / "predictions.csv")
    assert read.probs.tobytes() == written.probs.tobytes()
    assert read.classes == ("001", "None")
    assert read.labels.tolist() == [0, 1, 1]
    assert read.predicted.tolist() == [0, 1, 0]
    # Names that look like numbers or missing values stay text.
    assert read.groups.tolist() == ["007", "nan", "nan"]
    assert read.attributes["exposure"].tolist() == ["1", "", "NA"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv"]


def test_the_file_has_the_columns_that_other_stages_expect(tmp_path: Path) -> None:
    small_predictions().write(tmp_path / "predictions.csv")
    header = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "path,label,group,split,predicted,probability.001,probability.None,attributes.exposure"


def test_a_split_is_selected_with_all_its_columns() -> None:
    val = small_predictions().select("val")
    assert val.paths.tolist() == ["a/2.png", "b/1.png"]
    assert val.attributes["exposure"].tolist() == ["", "NA"]
    assert val.probs[:, 1] == pytest.approx([2 / 3, 0.4])


def test_a_split_without_images_is_refused() -> None:
    with pytest.raises(PredictionsError, match="no predictions for split 'train', only for: test, val"):
        small_predictions().select("train")


def test_a_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(PredictionsError, match=r"'None' is no class of the model \(001, Nones\).*a/2\.png, b/1\.png"):
        Predictions.from_table(small_table(), np.full((3, 2), 0.5), ("001", "Nones"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.4], r"sum to 0\.9000, not 1, for a/1\.png"),
        ([np.nan, 1.0], r"not in \[0, 1\] for a/1\.png"),
        ([1.5, -0.5], r"not in \[0, 1\] for a/1\.png"),
    ],
)
def test_a_row_that_is_no_distribution_is_refused(row: list[float], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        Predictions.from_table(small_table(), [row, [0.5, 0.5], [0.5, 0.5]], ("001", "None"))


def test_a_table_of_other_length_than_the_probabilities_is_refused() -> None:
    with pytest.raises(PredictionsError, match=r"expected probabilities of shape \(3, 2\), got \(2, 2\)"):
        Predictions.from_table(small_table(), np.full((2, 2), 0.5), ("001", "None"))


def test_no_image_at_all_is_refused() -> None:
    with pytest.raises(PredictionsError, match="there is no prediction"):
        Predictions.from_table(small_table().iloc[:0], np.zeros((0, 2)), ("001", "None"))


def drop_group(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="group")


def drop_probabilities(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=["probability.001", "probability.None"])


def repeat_a_row(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:1]])


def contradict_predicted(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(predicted=["None", "None", "001"])


def spell_a_probability(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{"probability.001": ["most likely", "0.3", "0.6"]})


def misname_a_split(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(split=["test", "val", "holdout"])


def drop_a_group_name(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(group=["007", "", "nan"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_group, r"column\(s\) missing: group"),
        (drop_probabilities, r"column\(s\) missing: probability\.<class>"),
        (repeat_a_row, r"more than one row for a/1\.png"),
        (contradict_predicted, r"'predicted' is not the most probable class for a/1\.png"),
        (spell_a_probability, "a probability is not a number"),
        (misname_a_split, r"the split is not one of train, val, test for b/1\.png"),
        (drop_a_group_name, r"no group is stated for a/2\.png"),
    ],
)
def test_a_damaged_file_is_refused_by_name(
    tmp_path: Path, damage: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    path = tmp_path / "predictions.csv"
    small_predictions().write(path)
    damage(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)
    with pytest.raises(PredictionsError, match=message) as error:
        Predictions.read(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PredictionsError, match=r"cannot read the predictions .*absent\.csv"):
        Predictions.read(tmp_path / "absent.csv")
