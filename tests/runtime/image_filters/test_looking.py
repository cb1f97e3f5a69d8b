"""Filters that look at pixels: what they are given, how they are made ready, and what is refused at start."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.answers.filters import FilterChain, FilterError
from runtime.answers.results import ModelIdentity, Prediction
from runtime.image_filters.looking import ImageFile, ImageFilters
from runtime.model.contract import ClassificationContract, ContractError, ModelContract, parse_contract
from runtime.model.errors import ImageError
from scoring.pictures import ScoringError
from scoring.pipeline import Scorer
from tests.onnx_fixture import tiny_contract, write_tiny_model
from tests.runtime.answers.drawn_regions import segmenter
from tests.service.detecting_models import crop_contract

LOOKS = """
from runtime.results import Seen

def mark(*, name, box=None):
    def look(pixels, answer):
        mark = f"{name} {pixels.shape[1]}x{pixels.shape[0]}"
        return Seen(answer.model_copy(update={"marks": (*answer.marks, mark)}), blurred=[box] if box else ())
    return look

def fail_to_be_made():
    raise RuntimeError("no weights")

def nothing():
    return None

def wrong():
    return lambda pixels, answer: answer

def invent():
    return lambda pixels, answer: Seen(answer.model_copy(update={"probability": 2.0}))

def by_width():  # left, top, width, height
    return lambda pixels, answer: Seen(answer, blurred=[(6, 0, 2, 8)])

def endless():
    return lambda pixels, answer: Seen(answer, blurred=[(0, 0, float("inf"), 8)])

def write():
    def look(pixels, answer):
        pixels[:] = 0
        return Seen(answer)
    return look
"""
ANSWER = Prediction(
    label="red", class_id=0, probability=1.0, probabilities={"red": 1.0}, logits={"red": 1.0},
    model=ModelIdentity(name="m", version="1", sha256="0" * 64),
)  # fmt: skip


@pytest.fixture(autouse=True)
def looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tested_looks.py").write_text(LOOKS)
    monkeypatch.syspath_prepend(tmp_path)


def stated(name: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "image", "path": f"tested_looks:{name}", **fields}


def contract_with(*filters: dict[str, Any]) -> ClassificationContract:
    return ClassificationContract.model_validate({**tiny_contract().model_dump(), "filters": filters})


def picture(width: int, height: int, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "seen"), [((1000, 500), (320, 160)), ((300, 100), (300, 100)), ((500, 2000), (80, 320))]
)
def test_filter_sees_the_whole_picture_reduced_to_its_side_and_never_enlarged(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    pixels = ImageFile(picture(*size)).pixels(320)
    assert pixels.shape == (seen[1], seen[0], 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 3, "RGB"


def test_filter_sees_the_picture_upright_and_it_is_decoded_once_for_all() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = ImageFile(picture(60, 20, exif=exif))
    assert file.pixels(320).shape == (60, 20, 3)
    assert file.pixels(320) is file.pixels(320)
    with pytest.raises(ImageError, match="pixels"):
        ImageFile(picture(60, 20), max_pixels=100).pixels(320)


def test_steps_get_their_options_and_say_areas_as_shares_of_the_picture() -> None:
    [step] = ImageFilters.load(
        contract_with(stated("mark", options={"name": "a", "box": [8, 4, 32, 16]}, side_px=32))
    ).steps
    seen = step.look_at(ImageFile(picture(64, 32, "PNG")), ANSWER)
    assert seen.answer == ANSWER.model_copy(update={"marks": ("a 32x16",)})
    assert seen.blurred == [(0.25, 0.25, 1.0, 1.0)]


def test_what_looks_only_at_drawings_is_left_out_elsewhere() -> None:
    filters = [stated("mark", options={"name": "a"}), stated("mark", options={"name": "b"}, when="overlay")]
    loaded = ImageFilters.load(segmenter(filters=filters))
    assert [step.stated.when for step in loaded.at(is_drawn=True)] == ["always", "overlay"]
    assert [step.stated.when for step in loaded.at(is_drawn=False)] == ["always"]


def test_other_filters_are_no_steps_of_these_and_these_none_of_the_others() -> None:
    contract = contract_with({"kind": "abstain", "below": 0.5}, stated("mark", options={"name": "a"}))
    assert [name for name, _ in FilterChain.load(contract).steps] == ["abstain"]
    assert len(ImageFilters.load(contract).steps) == 1


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (stated("mark"), r"cannot be made with \(\): missing a required argument: 'name'"),
        (stated("mark", options={"name": "a", "colour": 1}), "'colour'"),
        (stated("missing"), "has no 'missing'"),
        (stated("fail_to_be_made"), "tested_looks:fail_to_be_made cannot be made: no weights"),
        (stated("nothing"), "must return a function that looks, got NoneType"),
        (stated("mark", options={"name": "a"}, when="overlay"), "would never look"),
    ],
)
def test_filter_that_cannot_be_used_is_refused_at_start(statement: dict[str, Any], message: str) -> None:
    with pytest.raises(FilterError, match=message):
        ImageFilters.load(contract_with(statement))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("wrong", TypeError, "must return a Seen, got Prediction"),
        ("invent", ValueError, "a Prediction that is none"),
        ("by_width", ValueError, r"left, top, right and bottom of what is blurred, got \(6, 0, 2, 8\)"),
        ("endless", ValueError, "of what is blurred, got .*inf"),
        ("write", ValueError, "read-only"),
    ],
)
def test_what_no_filter_may_return_or_do_is_an_error(name: str, error: type[Exception], message: str) -> None:
    [step] = ImageFilters.load(contract_with(stated(name))).steps
    with pytest.raises(error, match=message):
        step.look_at(ImageFile(picture(8, 8)), ANSWER)


def test_crops_have_no_filters_that_look_as_they_are_no_pictures() -> None:
    contract: ModelContract = crop_contract()
    text = contract.model_copy(update={"filters": contract_with(stated("nothing")).filters}).to_json()
    with pytest.raises(ContractError, match="sees whole pictures: state it for the detector"):
        parse_contract(text, "contract.json")


def test_offline_scoring_refuses_a_model_whose_answers_may_be_withheld(tmp_path: Path) -> None:
    from runtime.model.session import Predictor

    write_tiny_model(tmp_path / "model")
    predictor = Predictor.load(tmp_path / "model", "cpu", 1)
    object.__setattr__(predictor, "contract", contract_with(stated("nothing")))
    with pytest.raises(ScoringError, match=r"tested_looks:nothing.*offline scoring runs none: export the model"):
        Scorer.of(predictor, "1")
