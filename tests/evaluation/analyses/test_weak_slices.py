"""The search finds a planted weak slice, alone or where two conditions meet, and does not cry wolf."""

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score, f1_score

from evaluation.analyses.slice_attributes import slice_attributes
from evaluation.analyses.weak_slices import SliceSearch, WeakSlice, search_slices
from evaluation.document import Estimate
from evaluation.predictions import Predictions
from evaluation.statistics.bootstrap import Resampling
from tests.evaluation.made_up import PARAMS


def made_up(right: np.ndarray, groups: np.ndarray, **attributes: np.ndarray) -> Predictions:
    """Two classes of alternating groups, right or wrong as said."""
    labels = groups % 2
    answers = np.where(right, labels, 1 - labels)
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(len(right))], "split": "test"})
    table["label"], table["group"] = np.array(["bad", "good"])[labels], groups.astype(str)
    for name, values in attributes.items():
        table[f"attributes.{name}"] = values.astype(str)
    return Predictions.from_table(table, np.where(answers[:, None] == [0, 1], 0.8, 0.2), ("bad", "good"))


def search(predictions: Predictions, **changed: float) -> SliceSearch:
    params = PARAMS.model_copy(update=changed)
    return search_slices(
        predictions, slice_attributes(predictions, None), Resampling(predictions.groups, params), params
    )


def scene(seed: int, num_groups: int = 60) -> tuple[np.random.Generator, np.ndarray, dict[str, np.ndarray]]:
    """Six exposures of each object; cameras and lots differ between objects."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), 6)
    attributes = {
        "exposure": np.tile(np.arange(6), num_groups),
        "camera": rng.integers(0, 3, num_groups)[groups],
        "lot": rng.integers(0, 4, num_groups)[groups],
    }
    return rng, groups, attributes


def test_a_planted_weak_slice_is_named_first_with_its_figures_and_pictures() -> None:
    rng, groups, attributes = scene(0)
    weak = attributes["exposure"] == 5
    right = rng.random(len(groups)) < np.where(weak, 0.4, 0.95)
    found = search(made_up(right, groups, **attributes))
    first = found.slices[0]
    assert [(c.attribute, c.value, c.origin) for c in first.conditions] == [("exposure", "5", "manifest")]
    assert first.is_weak
    assert (first.num_images, first.num_groups) == (60, 60)
    assert first.accuracy.value == pytest.approx(right[weak].mean())
    assert first.rest_accuracy.value == pytest.approx(right[~weak].mean())
    assert first.difference.high is not None
    assert first.difference.high < 0
    shown = {int(item.path.removesuffix(".png")) for item in first.wrong}
    assert shown
    assert shown <= set(np.flatnonzero(weak & ~right))
    assert not [s for s in found.slices if s.is_weak and not any(c.value == "5" for c in s.conditions)]


def test_intervals_are_of_resampled_objects_and_of_the_slices_own_images() -> None:
    rng, groups, attributes = scene(0)
    weak = attributes["exposure"] == 5
    predictions = made_up(rng.random(len(groups)) < np.where(weak, 0.4, 0.95), groups, **attributes)
    first = search(predictions, bootstrap_samples=200).slices[0]
    resampling = Resampling(predictions.groups, PARAMS.model_copy(update={"bootstrap_samples": 200}))
    drawn: dict[str, list[float]] = {"macro_f1": [], "rest_accuracy": []}
    for times in np.concatenate(list(resampling.draws())):
        rows = np.repeat(np.arange(len(groups)), times[resampling.group_ids])
        inside, rest = rows[weak[rows]], rows[~weak[rows]]
        drawn["macro_f1"].append(f1_score(predictions.labels[inside], predictions.predicted[inside], average="macro"))
        drawn["rest_accuracy"].append((predictions.labels[rest] == predictions.predicted[rest]).mean())
    whole = f1_score(predictions.labels[weak], predictions.predicted[weak], average="macro")
    assert first.macro_f1.value == pytest.approx(whole)
    for name, values in drawn.items():
        estimate = getattr(first, name)
        assert [estimate.low, estimate.high] == pytest.approx(list(np.quantile(values, [0.025, 0.975])))


def test_documents_without_these_intervals_are_read() -> None:
    rng, groups, attributes = scene(0)
    document = search(made_up(rng.random(len(groups)) < 0.9, groups, **attributes)).slices[0].model_dump()
    earlier = WeakSlice.model_validate(document | {"macro_f1": 0.5, "rest_accuracy": 1})
    assert earlier.macro_f1 == Estimate(value=0.5)
    assert earlier.rest_accuracy == Estimate(value=1)


def test_a_slice_that_only_two_conditions_together_make_weak_is_found() -> None:
    rng, groups, attributes = scene(1, num_groups=90)
    weak = (attributes["exposure"] == 0) & (attributes["camera"] == 2)
    right = rng.random(len(groups)) < np.where(weak, 0.2, 0.95)
    found = search(made_up(right, groups, **attributes))
    weakest = min((s for s in found.slices if s.is_weak), key=lambda s: s.accuracy.value or 0)
    assert {(c.attribute, c.value) for c in weakest.conditions} == {("exposure", "0"), ("camera", "2")}
    assert weakest.num_images == weak.sum()


def test_objects_that_are_wrong_as_a_whole_do_not_make_a_slice_weak() -> None:
    """Six equal answers of one object are one fact: a test over images would call many of these slices weak."""
    num_false = 0
    for seed in range(8):
        rng, groups, attributes = scene(seed + 10, num_groups=40)
        right = (rng.random(40) < 0.7)[groups]
        found = search(made_up(right, groups, **attributes), min_slice_images=8)
        assert found.num_tested > 40
        num_false += found.num_weak > 0
    assert num_false <= 1


def test_small_slices_are_counted_and_not_tested() -> None:
    groups = np.repeat(np.arange(30), 2)
    part = np.where(groups < 4, "few objects", "many")
    found = search(made_up(groups >= 4, groups, part=part), min_slice_images=4)
    assert found.num_too_small == 1
    assert [s.conditions[0].value for s in found.slices] == ["many"]


def test_a_pair_that_one_condition_explains_is_not_named_beside_it() -> None:
    rng, groups, attributes = scene(2)
    right = rng.random(len(groups)) < np.where(attributes["exposure"] == 5, 0.1, 0.99)
    found = search(made_up(right, groups, **attributes), min_slice_images=8)
    assert found.num_weak > 3
    pairs = [s for s in found.slices if s.is_weak and len(s.conditions) == 2]
    alone = next(s.accuracy.value for s in found.slices if len(s.conditions) == 1)
    assert alone is not None
    assert all(s.accuracy.value is not None and s.accuracy.value <= alone - 0.05 for s in pairs)


def test_p_values_of_single_conditions_are_not_drowned_by_those_of_pairs() -> None:
    rng, groups, attributes = scene(3)
    right = rng.random(len(groups)) < np.where(attributes["exposure"] == 5, 0.55, 0.92)
    found = search(made_up(right, groups, **attributes), min_slice_images=8)
    first = next(s for s in found.slices if len(s.conditions) == 1)
    num_single = 6 + 3 + 4
    assert found.num_tested > 3 * num_single
    assert first.adjusted_p_value == pytest.approx(first.p_value * num_single)


def test_accuracies_of_slices_are_those_that_fairlearn_counts() -> None:
    rng, groups, attributes = scene(3)
    predictions = made_up(rng.random(len(groups)) < 0.8, groups, **attributes)
    found = search(predictions)
    assert {len(part.conditions) for part in found.slices} == {1, 2}
    for part in found.slices:
        names = [condition.attribute for condition in part.conditions]
        frame = MetricFrame(
            metrics=accuracy_score, y_true=predictions.labels, y_pred=predictions.predicted,
            sensitive_features=predictions.attributes[names],
        )  # fmt: skip
        values = tuple(condition.value for condition in part.conditions)
        assert part.accuracy.value == frame.by_group.loc[values if len(values) > 1 else values[0]]
