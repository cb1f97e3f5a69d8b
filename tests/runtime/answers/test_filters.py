"""What stands between the model and the answer: abstention, hooks, and every way in which a hook can be wrong."""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from runtime.answers.filters import FilterChain, FilterError
from runtime.answers.index_mask import paint_regions
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import ModelIdentity, Prediction, only_predictions, to_predictions
from runtime.answers.segmentation import Segmentation
from runtime.model.contract import ClassificationContract
from tests.onnx_fixture import tiny_contract
from tests.runtime.answers.drawn_regions import segmenter, two_regions

HOOKS = """
import sys
from runtime.answers.results import Prediction

def rename(prediction, *, to, only=None):
    wanted = only is None or prediction.label == only
    return prediction.model_copy(update={"label": to}) if wanted else prediction

def give_up(prediction):
    sys.exit(1)

def narrow(prediction):
    return Prediction.model_validate({name: getattr(prediction, name) for name in Prediction.model_fields})

def forget(prediction):
    return None

def invent(prediction):
    return prediction.model_copy(update={"probability": 2.0})

def keep(prediction, *, first):
    return prediction.model_copy(update={"regions": prediction.regions[:first]})

def pop(prediction):
    prediction.regions.pop()
    return prediction

def undress(prediction):
    return prediction.model_copy(update={"regions": [prediction.regions[0].model_copy(update={"score": "high"})]})

def stretch(prediction):
    region = prediction.regions[0]
    box = region.box.model_copy(update={"right": prediction.width + 1})
    return prediction.model_copy(update={"regions": [region.model_copy(update={"box": box})]})

async def wait(prediction):
    return prediction

class Callable:
    pass

text = "no function"
"""


@pytest.fixture(autouse=True)
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tested_hooks.py").write_text(HOOKS)
    (tmp_path / "broken_hooks.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)


def chain(*filters: dict[str, Any]) -> FilterChain:
    return FilterChain.load(ClassificationContract.model_validate({**tiny_contract().model_dump(), "filters": filters}))


def hook(name: str, **options: object) -> dict[str, Any]:
    return {"kind": "hook", "path": f"tested_hooks:{name}", "options": options}


def predictions(*rows: tuple[float, float, float]) -> list[Prediction]:
    probs = np.array(rows, np.float32)
    model = ModelIdentity(name="m", version="1", sha256="0" * 64)
    return only_predictions(to_predictions({"probabilities": probs, "logits": probs}, tiny_contract(), model))


def test_answer_below_the_threshold_abstains_and_says_what_it_would_have_been() -> None:
    unsure, sure = chain({"kind": "abstain", "below": 0.75}).apply(predictions((0.5, 0.3, 0.2), (0, 0.75, 0.25)))
    assert (unsure.abstained, unsure.abstain_below, unsure.label, unsure.probability) == (True, 0.75, "red", 0.5)
    assert (sure.abstained, sure.abstain_below, sure.label) == (False, 0.75, "green")


def test_without_filters_nothing_is_changed() -> None:
    before = predictions((0.5, 0.3, 0.2))
    assert chain().apply(before) == before
    assert (before[0].abstained, before[0].abstain_below) == (False, None)


def test_hooks_get_their_options_and_run_in_the_order_of_the_contract() -> None:
    steps = chain(hook("rename", to="x"), hook("rename", to="y", only="x"))
    assert steps.has_hooks
    assert [answer.label for answer in steps.apply(predictions((0.5, 0.3, 0.2)))] == ["y"]
    assert [
        answer.label
        for answer in chain(hook("rename", to="y", only="x"), hook("rename", to="x")).apply(predictions((1, 0, 0)))
    ] == ["x"]


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("no_such_module:f", {}, "cannot import the filter no_such_module:f: ModuleNotFoundError"),
        ("broken_hooks:f", {}, "No module named 'no_such_package'"),
        ("tested_hooks:missing", {}, "tested_hooks.py has no 'missing'"),
        ("tested_hooks:text", {}, "must be a plain function, got str 'text'"),
        ("tested_hooks:Callable", {}, "must be a plain function, got type"),
        ("tested_hooks:wait", {}, "must be a plain function"),
        ("tested_hooks:rename", {}, r"cannot be called with \(prediction\): missing a required argument: 'to'"),
        ("tested_hooks:rename", {"to": "x", "colour": 1}, r"\(prediction, to=, colour=\).*'colour'"),
    ],
)
def test_hook_that_cannot_be_used_is_refused_at_start(path: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(FilterError, match=message):
        chain({"kind": "hook", "path": path, "options": options})


def test_regions_pass_a_hook_and_cannot_be_lost_in_it() -> None:
    [before] = predictions((0.5, 0.3, 0.2))
    outlined = Segmentation(**dict(before), width=9, height=8, regions=[], num_regions=0)
    [after] = chain(hook("rename", to="x")).apply([outlined])
    assert after == outlined.model_copy(update={"label": "x"})
    with pytest.raises(RequestRefused, match="tested_hooks:narrow failed"):
        chain(hook("narrow")).apply([outlined])


def outlined(*filters: dict[str, Any]) -> list[Segmentation]:
    """Return what the filters make of two regions."""
    steps = FilterChain.load(segmenter(filters=filters))
    return cast("list[Segmentation]", steps.apply([two_regions(64, 48)]))


def test_regions_that_a_hook_drops_are_neither_listed_nor_counted() -> None:
    before = two_regions(64, 48)
    assert outlined(hook("keep", first=2)) == [before]
    [after] = outlined(hook("keep", first=1))
    assert outlined(hook("pop")) == [after]
    assert (after.regions, after.num_regions) == (before.regions[:1], 1)
    np.testing.assert_array_equal(paint_regions(after), np.where(paint_regions(before) == 1, 1, 0))


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("undress", r"regions\[0\] is none: (.|\n)*score"),
        ("stretch", r"regions\[0\] has a box .* that is not in the image"),
    ],
)
def test_regions_that_cannot_be_fail_the_hook(name: str, cause: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RequestRefused, match=f"^image 0: the filter tested_hooks:{name} failed"):
        outlined(hook(name))
    assert re.search(f"tested_hooks:{name} returned a Segmentation that is none: (.|\n)*{cause}", caplog.text)


@pytest.mark.parametrize("name", ["give_up", "forget", "invent"])
def test_hook_that_fails_is_named_with_the_image_and_the_cause_is_logged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = chain(hook(name))
    with pytest.raises(RequestRefused, match=f"^image 0: the filter tested_hooks:{name} failed") as failed:
        steps.apply(predictions((0.5, 0.3, 0.2)))
    assert (failed.value.code, failed.value.index) == (RequestErrorCode.FILTER_FAILED, 0)
    assert caplog.records[0].exc_info
