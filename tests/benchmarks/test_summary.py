"""Ratios are of figures of one round, the generator's CPU time is taken into account, what is missing says so."""

import json
from dataclasses import asdict

import pytest

from benchmarks.load.load import LoadResult
from benchmarks.load.server_process import ServerFailedError
from benchmarks.load.turns import Kind, Phase, Turn, check_answer
from benchmarks.pages.summary import Spread, Summary, summarise
from benchmarks.rates.ceilings import Ceilings


def _result(
    goodput_per_s: float, p50_ms: float = 10.0, unanswered: int = 0, generator_cores: float = 0.0
) -> LoadResult:
    latency = {"p50": p50_ms, "p90": p50_ms, "p99": p50_ms, "max": p50_ms}
    return LoadResult(goodput_per_s, goodput_per_s, goodput_per_s, {}, latency, 1, unanswered, 0.0, generator_cores)


def _turn(server: str, number: int, *phases: tuple[Kind, float, LoadResult]) -> Turn:
    return Turn(server, number, phases=[Phase(kind, level, result, 1.0) for kind, level, result in phases])


def _ceilings(limit_per_s: float, single_ms: float = 4.0) -> Ceilings:
    return Ceilings({}, single_ms, limit_per_s, {}, "")


def _summarise(turns: list[Turn], rounds: list[Ceilings], shares: bool = True) -> Summary:
    return summarise(turns, rounds, num_cores=2, shares=shares, deadline_ms=1000)


def test_a_machine_that_halves_its_speed_between_rounds_changes_no_ratio() -> None:
    turns = [
        _turn(server, number, ("sweep", 32, _result(rate * speed)))
        for number, speed in enumerate((1.0, 0.5))
        for server, rate in (("bento-vision", 200), ("slow", 50), ("fast", 100))
    ]
    summary = _summarise(turns, [_ceilings(400), _ceilings(200)])
    assert summary.best_peer == "fast"
    ratios = {c.server: c.ours_divided_by_it for c in summary.comparisons}
    assert ratios["fast"] == Spread(2, 2, 2)
    assert ratios["slow"] == Spread(4, 4, 4)
    assert summary.share_of_limit == Spread(0.5, 0.5, 0.5)
    assert summary.criteria[0].is_met is True


@pytest.mark.parametrize(("shares", "share"), [(True, 1.0), (False, 0.9)])
def test_the_limit_is_that_of_the_cores_which_the_generator_left(shares: bool, share: float) -> None:
    turn = _turn("bento-vision", 0, ("sweep", 32, _result(90, generator_cores=0.2)))
    summary = _summarise([turn], [_ceilings(100)], shares)
    assert summary.share_of_limit is not None
    assert summary.share_of_limit.median == pytest.approx(share)
    assert summary.share_of_limit_raw == Spread(0.9, 0.9, 0.9)


def test_latency_is_held_against_one_picture_in_process_of_the_same_round() -> None:
    turn = _turn("bento-vision", 0, ("before", 1, _result(1, p50_ms=6.5)), ("after", 1, _result(1, p50_ms=13.0)))
    before, after = _summarise([turn], [_ceilings(100, single_ms=4.0)]).criteria[2:4]
    assert before.value is not None
    assert before.value.median == pytest.approx(1.0)  # 6.5 = 1.25 x 4 + 1.5
    assert (before.is_met, after.is_met) == (True, False)


def test_overload_is_held_against_the_capacity_the_deadline_and_no_request_unanswered() -> None:
    turn = _turn(
        "bento-vision",
        0,
        ("sweep", 32, _result(100)),
        ("overload", 2.0, _result(95, p50_ms=900)),
        ("overload", 3.0, _result(10, p50_ms=9000, unanswered=1)),
    )
    goodput, p99, unanswered = _summarise([turn], [_ceilings(100)]).criteria[4:]
    assert (goodput.is_met, p99.is_met, unanswered.is_met) == (True, True, False)


def test_a_broken_run_is_summarised_as_not_measured() -> None:
    summary = _summarise([Turn("bento-vision", 0, failure="did not start"), Turn("peer", 0)], [_ceilings(1)])
    assert summary.best_peer is None
    assert {criterion.is_met for criterion in summary.criteria} == {None}
    json.dumps(asdict(summary))


EXPECTED = {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    "answer",
    [
        [{"label": "b", "probabilities": EXPECTED}],
        {"outputs": [{"name": "answer", "data": [json.dumps({"probabilities": EXPECTED})]}]},
    ],
)
def test_a_right_answer_is_found_in_the_form_of_every_server(answer: object) -> None:
    response = b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(answer).encode()
    check_answer(response, EXPECTED)
    with pytest.raises(ServerFailedError, match=r"differ by 0\.5000"):  # it was this answer that was found
        check_answer(response, {"a": 0.75, "b": 0.25})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[{"probabilities": {"a": 0.75, "b": 0.25}}]', "differ by 0.5000"),
        (b'[{"probabilities": {"a": 1.0}}]', "expected probabilities of"),
        (b'{"label": "b"}', "expected probabilities of"),
        (b"<html>", "expected JSON"),
    ],
)
def test_a_server_that_does_other_work_is_not_compared(body: bytes, message: str) -> None:
    with pytest.raises(ServerFailedError, match=message):
        check_answer(b"HTTP/1.1 200 OK\r\n\r\n" + body, EXPECTED)
