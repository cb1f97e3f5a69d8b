"""Statistics of pixels against pictures whose answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataset.annotations import IGNORED, write_mask
from evaluation import inspect
from evaluation.analyses.image_statistics import STATISTICS_FILE, measure_picture, read_statistics
from evaluation.evaluation import EvaluationError
from tests.evaluation.project import Project


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def test_brightness_contrast_and_shape_are_those_of_the_picture() -> None:
    half = np.full((40, 80), 100)
    half[:, 40:] = 200
    got = measure_picture(grey(half), 800, 400)
    assert got["brightness"] == pytest.approx(150)
    assert got["contrast"] == pytest.approx(50)
    assert got["colourfulness"] == 0
    assert got["aspect"] == 2
    assert got["megapixels"] == pytest.approx(0.32)


def test_blur_lowers_sharpness_and_leaves_brightness() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (60, 60))
    blurred = (sharp + np.roll(sharp, 1, 0) + np.roll(sharp, 1, 1) + np.roll(sharp, (1, 1), (0, 1))) / 4
    first, second = (measure_picture(grey(picture), 60, 60) for picture in (sharp, blurred))
    assert second["sharpness"] < first["sharpness"] / 2
    assert second["brightness"] == pytest.approx(first["brightness"], abs=1)


def test_a_coloured_picture_is_more_colourful_than_a_grey_one() -> None:
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 200
    assert measure_picture(red, 20, 20)["colourfulness"] > 30


def test_the_file_holds_every_picture_in_the_manifests_order(project: Project) -> None:
    table = read_statistics(project.inspection_dir / STATISTICS_FILE, project.manifest)
    assert list(table["path"]) == list(project.manifest.table["path"])
    assert table["brightness"].is_monotonic_increasing is False
    assert table["defect area"].isna().all()
    by_exposure = table["brightness"].groupby(project.manifest.table["attributes.exposure"]).mean()
    assert by_exposure.is_monotonic_increasing


def test_a_mask_gives_the_defect_area(project: Project) -> None:
    table = project.manifest.table
    masks = {3: np.array([[0, 0, 1, 2]]), 5: np.array([[IGNORED, IGNORED, 0, 1]]), 7: np.array([[IGNORED]])}
    for row, mask in masks.items():
        table.loc[row, "mask"] = f"{row}.mask.png"
        write_mask(project.data_dir / f"{row}.mask.png", mask.astype(np.uint8))
    table.to_csv(project.data_dir / "manifest.csv", index=False)
    project.inspect()
    areas = read_statistics(project.inspection_dir / STATISTICS_FILE, project.manifest)["defect area"]
    assert areas.dropna().to_dict() == {3: 0.5, 5: 0.5}  # of what is known; of the third nothing is


def test_statistics_of_other_pictures_are_refused(project: Project) -> None:
    path = project.inspection_dir / STATISTICS_FILE
    table = pd.read_csv(path)
    table.iloc[:-1].to_csv(path, index=False)
    with pytest.raises(EvaluationError, match="not of the manifest's pictures"):
        read_statistics(path, project.manifest)
    path.unlink()
    with pytest.raises(EvaluationError, match="run python -m evaluation"):
        read_statistics(path, project.manifest)


def test_a_picture_that_cannot_be_read_is_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    broken = Path(project.manifest.table["path"][4])
    (project.data_dir / broken).write_bytes(b"no picture")
    arguments = ["--data", str(project.data_dir), "--out", str(project.root / "elsewhere")]
    assert inspect.main([*arguments, "--params", str(project.root / "params.yaml")]) == 2
    assert broken.name in capsys.readouterr().err


def test_near_duplicates_are_pairs_of_different_groups(project: Project) -> None:
    table = project.manifest.table
    first, same_group, other = table.index[table["group"] == table["group"][0]][0], 1, table.index[-1]
    original = (project.data_dir / table["path"][first]).read_bytes()
    for copy in (same_group, other):
        (project.data_dir / table["path"][copy]).write_bytes(original)
    project.inspect()
    pairs = pd.read_csv(project.inspection_dir / "near_duplicates.csv")
    found = {frozenset(pair) for pair in pairs[["path", "other_path"]].to_numpy()}
    assert frozenset((table["path"][first], table["path"][other])) in found
    assert frozenset((table["path"][first], table["path"][same_group])) not in found
    assert (pairs["correlation"] > 0.99).all()
