"""Names of slices tell exactly what is in them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.analyses.image_statistics import statistics_in_words
from evaluation.analyses.slice_attributes import in_bins, slice_attributes
from evaluation.analyses.slices import slice_by_attributes
from evaluation.analyses.weak_slices import search_slices
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.made_up import PARAMS, calibrated_predictions


def holds(name: str, value: float) -> bool:
    """Read a name as a person would."""
    if found := re.fullmatch(r"under (\S+)", name):
        return value < float(found[1])
    if found := re.fullmatch(r"(\S+) and more", name):
        return value >= float(found[1])
    low, high = map(float, name.split(" to "))
    return low <= value < high


def test_every_value_is_in_the_bin_that_its_name_states() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.uniform(0, 255, 400), rng.normal(121, 2, 400), rng.lognormal(11, 1, 400), rng.random(400) / 1e4):
        names = in_bins(values)
        assert len(set(names)) == 4
        assert all(holds(name, value) for name, value in zip(names, values, strict=True))
        assert np.unique(names, return_counts=True)[1].min() > 60  # near a quarter each


def test_numbers_in_names_are_plain_and_short() -> None:
    names = set(in_bins(np.random.default_rng(0).uniform(90_000, 180_000, 500)))
    assert not any("e" in part for name in names for part in name.replace("under", "").replace("more", "").split())
    assert any(re.search(r"\b1[0-9]{2}000\b", name) for name in names)


def test_constants_and_unknown_values_are_in_no_bin() -> None:
    assert set(in_bins(np.full(9, 3.0))) == {""}
    names = in_bins(np.append(np.arange(40.0), np.nan))
    assert names[-1] == ""
    assert "" not in names[:-1]


def test_defects_are_binned_by_area_and_pictures_without_are_apart() -> None:
    test = calibrated_predictions(num_groups=80).select("test")
    areas = np.linspace(-0.2, 0.4, len(test.paths)).clip(0)
    (attribute,) = slice_attributes(test, pd.DataFrame({"path": test.paths, "defect area": areas}))
    assert attribute.origin == "mask"
    assert all((name == "none") == (area == 0) for name, area in zip(attribute.values, areas, strict=True))
    assert all(holds(n, 100 * a) for n, a in zip(attribute.values, areas, strict=True) if n != "none")


def test_few_values_stay_many_numbers_are_binned_and_names_of_things_are_left_out() -> None:
    size = 160
    attributes = {
        "exposure": np.arange(size) % 6,
        "temperature": np.arange(size) / 10,
        "camera": np.where(np.arange(size) % 2, "left", "right"),
        "serial": np.array([f"s{i}" for i in range(size)]),
        "plant": np.full(size, "one"),
    }
    texts = {name: values.astype(str) for name, values in attributes.items()}
    test = calibrated_predictions(num_groups=80, attributes=texts).select("test")
    found = {attribute.name: set(attribute.values) for attribute in slice_attributes(test, None)}
    assert set(found) == {"exposure", "temperature", "camera"}
    assert found["exposure"] == set("012345")
    assert len(found["temperature"]) == 4


def test_skewed_values_keep_their_small_bins() -> None:
    """Areas of defects run from a tenth of a per cent to the whole picture."""
    names = in_bins(np.concatenate([np.linspace(0.1, 0.9, 300), np.linspace(2, 95, 250)]))
    assert len(set(names)) == 4
    assert np.unique(names, return_counts=True)[1].min() > 90


def test_a_stated_attribute_called_as_a_statistic_stands_beside_the_measured_one() -> None:
    size = 160
    stated = {
        "brightness": np.where(np.arange(size) % 2, "dim", "bright"),
        "aspect": np.where(np.arange(size) % 3, "front", "side"),
        "aspect (measured)": np.where(np.arange(size) % 5, "yes", "no"),
        "defect area (% of the picture)": np.where(np.arange(size) % 7, "small", "large"),
    }
    test = calibrated_predictions(num_groups=80, attributes=stated).select("test")
    own = {name: np.linspace(0, 9, len(test.paths)) for name in ("brightness", "aspect", "contrast", "defect area")}
    found = slice_attributes(test, pd.DataFrame({"path": test.paths, **own}))
    assert {(attribute.name, attribute.origin) for attribute in found} == {
        *((name, "manifest") for name in stated),
        ("brightness (measured)", "pixels"),
        ("aspect (measured) (measured)", "pixels"),
        ("contrast", "pixels"),
        ("defect area (% of the picture) (measured)", "mask"),
    }
    values = {attribute.name: set(attribute.values) for attribute in found}
    assert values["brightness"] == {"dim", "bright"}
    assert "under" in min(values["brightness (measured)"], key=len)


def test_only_what_was_measured_is_explained() -> None:
    assert statistics_in_words(["brightness", "contrast"]).startswith("Brightness: mean grey level")
    words = statistics_in_words(["brightness", "brightness (measured)", "contrast"], ["brightness"])
    assert words.startswith("Brightness (measured): mean grey level, 0 to 255; contrast: standard")
    assert statistics_in_words(["brightness"], ["brightness"]) == ""


@pytest.mark.parametrize(
    "name",
    ["path", "label", "group", "split", "predicted", "probability.x", "attributes.x", "", "Ort é", "0"],
)
def test_any_name_of_an_attribute_is_sliced_by_alone_and_with_others(name: str, tmp_path: Path) -> None:
    size = 160
    attributes = {name: np.arange(size).astype(str), "camera": np.where(np.arange(size) % 2, "left", "right")}
    calibrated_predictions(num_groups=80, attributes=attributes).write(tmp_path / "predictions.csv")
    test = Predictions.read(tmp_path / "predictions.csv").select("test")
    own = pd.DataFrame({"path": test.paths, "brightness": np.linspace(0, 255, len(test.paths))})
    params = PARAMS.model_copy(update={"min_slice_images": 2, "min_slice_groups": 3})
    search = search_slices(test, slice_attributes(test, own), Resampling(test.groups, params), params)
    assert search.attributes == (name, "camera", "brightness")
    assert {tuple(c.attribute for c in part.conditions) for part in search.slices} >= {(name,), (name, "camera")}
    assert slice_by_attributes(test, 2)[0]
