"""`roi`, `tiles` and `overlap`: what a request may say, where it may say it, and what the contract says otherwise."""

import json
from typing import Any

import pytest
from starlette.requests import Request

from runtime.answers.refusals import RequestRefused
from runtime.model.contract import Task
from runtime.model.tiles import TileParams
from runtime.serving.intake.json_body import read_json
from runtime.serving.intake.wanted_answer import read_wanted_answer
from runtime.serving.intake.wanted_parts import PARTS, Parts, WantedParts
from tests.onnx_fixture import tiny_contract
from tests.onnx_segmenter import segmentation_contract

STATED = segmentation_contract(tiles={"size_px": 200, "overlap_px": 50}, roi=(1, 2, 30, 40))


def of_query(query: str, task: Task = "segmentation") -> WantedParts:
    scope = {"type": "http", "query_string": query.encode(), "headers": []}
    return read_wanted_answer(Request(scope), task).parts or WantedParts()


def of_json(**fields: object) -> WantedParts:
    body = json.dumps({"image_b64": "a", **fields}).encode()
    return WantedParts.of_json(read_json(body, 4, PARTS).options)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Parts(TileParams(size_px=200, overlap_px=50), (1, 2, 30, 40))),
        ("roi=3,4,50,60", Parts(TileParams(size_px=200, overlap_px=50), (3, 4, 50, 60))),
        ("roi=3%2C4%2C50%2C60&tiles=512&overlap=64", Parts(TileParams(size_px=512, overlap_px=64), (3, 4, 50, 60))),
        ("tiles=512", Parts(TileParams(size_px=512), (1, 2, 30, 40))),
        ("overlap=0", Parts(TileParams(size_px=200, overlap_px=0), (1, 2, 30, 40))),
        ("tiles=none", Parts(None, (1, 2, 30, 40))),
        ("tiles=none&roi=none&overlay=1", Parts(None, None)),
    ],
)
def test_request_wins_over_the_contract(query: str, expected: Parts) -> None:
    assert of_query(query).over(STATED) == expected


def test_json_says_the_same_as_a_query_and_null_says_nothing() -> None:
    query = of_query("roi=3,4,50,60&tiles=512&overlap=64")
    assert of_json(roi=[3, 4, 50, 60], tiles=512, overlap=64) == query
    assert of_json(roi=None, tiles=None, overlap=None) == WantedParts() == of_query("")
    assert of_query("roi=3,4,50,60").joined(of_json(tiles=512, overlap=64)) == query


def test_without_a_word_all_of_a_picture_is_looked_at() -> None:
    assert WantedParts().over(segmentation_contract()) == WantedParts().over(tiny_contract()) == Parts(None, None)
    assert TileParams(size_px=200).overlap == 0.2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("roi=1,2,3", "'roi' must be four whole numbers of pixels, left,top,right,bottom, got '1,2,3'"),
        ("roi=", "'roi' must be four whole numbers"),
        ("roi=-1,2,3,4", "'roi' must be four whole numbers"),
        ("roi=1.5,2,3,4", "'roi' must be four whole numbers"),
        ("roi=1,%202,3,4", "'roi' must be four whole numbers"),
        ("roi=5,2,5,4", "'roi' must have left < right and top < bottom, got '5,2,5,4'"),
        ("tiles=", "'tiles' must be a whole number of pixels, got ''"),
        ("tiles=512x512", "'tiles' must be a whole number of pixels"),
        ("tiles=%D9%A5%D9%A1%D9%A2", "'tiles' must be a whole number"),  # in Arabic digits
        ("tiles=0", "'tiles' cannot be used: Input should be greater than or equal to 16, got 0"),
        ("tiles=65537", "'tiles' cannot be used: Input should be less than or equal to 65536, got 65537"),
        ("tiles=100&overlap=76", "tiles of 100 pixels can overlap by 75 at most, got 76"),
        ("tiles=512&overlap=0.2", "'overlap' must be a whole number of pixels, got '0.2'"),
        ("overlap=64", "'overlap' says how much tiles overlap, and there are none; state 'tiles' as well"),
        ("tiles=none&overlap=64", "and there are none"),
        ("tiles=512&tiles=256", "the query has 'tiles' more than once; state it once"),
    ],
)
def test_values_that_cannot_be_used_say_so(query: str, message: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        of_query(query).over(segmentation_contract())
    assert refused.value.code == "malformed_request"
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"roi": "1,2,3,4"}, "'roi' must be a list of four whole numbers, [left, top, right, bottom], got '1,2,3,4'"),
        ({"roi": [1, 2, 3]}, "'roi' must be a list of four whole numbers"),
        ({"roi": [1, 2, 3, True]}, "'roi' must be a list of four whole numbers"),
        ({"roi": [-1, 2, 3, 4]}, "'roi' must be four whole numbers of pixels"),
        ({"roi": [4, 2, 3, 4]}, "'roi' must have left < right"),
        ({"tiles": "512"}, "'tiles' must be a whole number of pixels, got '512'"),
        ({"tiles": 512.5}, "'tiles' must be a whole number of pixels, got 512.5"),
        ({"tiles": [512]}, "'tiles' must be a whole number of pixels"),
        ({"tiles": 10**30}, "'tiles' must be a whole number of pixels"),
        ({"tiles": 512, "overlap": {}}, "'overlap' must be a whole number of pixels"),
    ],
)
def test_json_values_that_cannot_be_used_say_so(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        of_json(**fields).over(segmentation_contract())
    assert refused.value.code == "malformed_request"
    assert message in str(refused.value)


def test_what_is_said_twice_is_refused() -> None:
    with pytest.raises(RequestRefused, match="'tiles' is in the query and in the body; state it once"):
        of_query("tiles=512").joined(of_json(tiles=512))


def test_a_classifier_knows_no_parts() -> None:
    with pytest.raises(RequestRefused, match=r"unknown query parameter\(s\) 'roi', 'tiles': a classifier looks at"):
        of_query("roi=1,2,3,4&tiles=512&overlay=1", task="classification")
    with pytest.raises(RequestRefused, match=r"unknown field\(s\) 'tiles'; known: image_b64, images_b64"):
        read_json(b'{"image_b64": "a", "tiles": 512}', 4)
    assert of_query("overlay=1&any=thing", task="classification") == WantedParts()
