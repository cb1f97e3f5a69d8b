"""Reading params.yaml: every mistake names file, section and key."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dataset.params import DataParams, SplitParams
from project.params import ParamsError, read_section

REPOSITORY = Path(__file__).parents[2]
GOOD = "split: {seed: 3, num_folds: 5, test_fold: 4}\n"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_projects_own_file_fits() -> None:
    path = REPOSITORY / "params.yaml"
    assert 0 < read_section(path, "data", DataParams).near_duplicate_correlation <= 1
    assert read_section(path, "split", SplitParams).num_folds >= 3


def test_a_section_is_read_and_frozen(tmp_path: Path) -> None:
    params = read_section(written(tmp_path, GOOD), "split", SplitParams)
    assert (params.seed, params.num_folds, params.test_fold) == (3, 5, 4)
    with pytest.raises(ValidationError, match="frozen"):
        params.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("split: {seed: 3, num_folds: 5}", r"split\.test_fold: Field required"),
        ("split: {seed: 3, num_folds: 5, test_fold: 0, folds: 2}", r"split\.folds: Extra inputs"),
        ("split: {seed: 3, num_folds: 2, test_fold: 0}", r"split\.num_folds: .*greater than or equal to 3"),
        ("split: {seed: -1, num_folds: 3, test_fold: 0}", r"split\.seed"),
        ("split: {seed: x, num_folds: 3, test_fold: 0}", r"split\.seed"),
        ("split: {seed: 3, num_folds: 5, test_fold: 5}", r"split: .*test_fold must be below num_folds \(5\), got 5"),
        ("split: 4", r"split: "),
        ("split:", r"split: "),
        ("data: {}", "has no section 'split'"),
        ("", "has no section 'split'"),
        ("- split", "has no section 'split'"),
        ("split: {seed: 3", "cannot read"),
    ],
)
def test_a_mistake_names_file_section_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        read_section(written(tmp_path, text), "split", SplitParams)
    assert "params.yaml" in str(caught.value)


def test_a_missing_and_a_binary_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"cannot read .*absent\.yaml"):
        read_section(tmp_path / "absent.yaml", "split", SplitParams)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ParamsError, match=r"cannot read .*binary\.yaml"):
        read_section(tmp_path / "binary.yaml", "split", SplitParams)
