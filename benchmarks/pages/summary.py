"""From turns to figures: medians with their spread over rounds, ratios of what stood in one round, what was asked for.

Figures of different rounds are never divided by each other: the machine may have been another in the meantime.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load.servers import OURS
from benchmarks.load.turns import BURST_CLIENTS, Kind, Turn
from benchmarks.rates.ceilings import Ceilings

ASKED_RATIO, ASKED_SHARE, ASKED_GOODPUT = 1.4, 0.8, 0.9  # issue 3: of the best peer, of the limit, of the capacity
SINGLE_FACTOR, SINGLE_EXTRA_MS = 1.25, 1.5  # issue 3: of one picture in process, for HTTP
OVERLOAD_FACTOR = 2.0


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest over rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        return cls(statistics.median(values), min(values), max(values)) if values else None


@dataclass(frozen=True)
class Criterion:
    """One thing asked for. is_met: by the median; None if it was not measured."""

    text: str
    value: Spread | None
    limit: float
    is_met: bool | None


@dataclass(frozen=True)
class Comparison:
    """One server beside ours: requests/s at 32 clients and ours divided by it, p50 of one client before and after."""

    server: str
    goodput_per_s: Spread | None
    ours_divided_by_it: Spread | None
    before_ms: Spread | None
    after_ms: Spread | None
    large_ms: Spread | None
    server_cpu_ms: Spread | None
    generator_cores: Spread | None


@dataclass(frozen=True)
class Summary:
    comparisons: list[Comparison]
    best_peer: str | None
    share_of_limit: Spread | None  # without the generator's CPU time
    share_of_limit_raw: Spread | None
    criteria: list[Criterion]


def summarise(
    turns: Sequence[Turn], rounds: Sequence[Ceilings], num_cores: int, shares: bool, deadline_ms: float
) -> Summary:
    """Summarise whole and broken runs alike.

    rounds: in process, by round. shares: whether generator and server share cores. deadline_ms: of our server.
    """
    names = list(dict.fromkeys(turn.server for turn in turns))
    by_server = {name: {t.round: t for t in turns if t.server == name} for name in names}
    ours = by_server.get(OURS, {})
    comparisons = [_compare(name, by_server[name], ours) for name in names]
    peers = [c for c in comparisons if c.server != OURS and c.goodput_per_s and c.ours_divided_by_it]
    best = min(peers, key=lambda c: c.ours_divided_by_it.median if c.ours_divided_by_it else 0, default=None)
    raw = Spread.of([_share(t, rounds[t.round], 0.0) for t in ours.values() if t.capacity_per_s is not None])
    share = Spread.of(
        [_share(t, rounds[t.round], _generator_share(t, num_cores, shares)) for t in ours.values() if t.capacity_per_s]
    )
    criteria = [
        at_least(
            f"requests/s at {BURST_CLIENTS} clients over the best peer's",
            best.ours_divided_by_it if best else None,
            ASKED_RATIO,
        ),
        at_least("of the in-process limit that the generator left", share, ASKED_SHARE),
        *_latency_criteria(ours, rounds),
        *_overload_criteria(ours, deadline_ms),
    ]
    return Summary(comparisons, best.server if best else None, share, raw, criteria)


def _compare(name: str, turns: Mapping[int, Turn], ours: Mapping[int, Turn]) -> Comparison:
    ratios = [
        own / its
        for number, turn in turns.items()
        if (its := turn.capacity_per_s) and number in ours and (own := ours[number].capacity_per_s) is not None
    ]
    at_burst = [p for t in turns.values() for p in t.phases if (p.kind, p.level) == ("sweep", BURST_CLIENTS)]
    large = [p for t in turns.values() for p in t.phases if p.kind == "large" and p.result.latency_ms]
    return Comparison(
        server=name,
        goodput_per_s=Spread.of([p.result.goodput_per_s for p in at_burst]),
        ours_divided_by_it=Spread.of(ratios),
        before_ms=Spread.of(list(p50s(turns, "before").values())),
        after_ms=Spread.of(list(p50s(turns, "after").values())),
        large_ms=Spread.of([p.result.latency_ms["p50"] for p in large if p.result.latency_ms]),
        server_cpu_ms=Spread.of([p.server_cpu_ms for p in at_burst if p.server_cpu_ms is not None]),
        generator_cores=Spread.of([p.result.generator_cores for p in at_burst]),
    )


def p50s(turns: Mapping[int, Turn], kind: Kind, level: float = 1) -> dict[int, float]:
    """Return the median latency of one kind of load in ms by round, without rounds that have none."""
    results = {number: turn.find(kind, level) for number, turn in turns.items()}
    return {number: r.latency_ms["p50"] for number, r in results.items() if r and r.latency_ms}


def _generator_share(turn: Turn, num_cores: int, shares: bool) -> float:
    """Share of the server's cores that the generator used while 32 clients were served."""
    at_burst = turn.find("sweep", BURST_CLIENTS)
    return at_burst.generator_cores / num_cores if shares and at_burst else 0.0


def _share(turn: Turn, ceiling: Ceilings, generator_share: float) -> float:
    return (turn.capacity_per_s or 0.0) / (ceiling.limit_per_s * (1 - generator_share))


def _latency_criteria(ours: Mapping[int, Turn], rounds: Sequence[Ceilings]) -> list[Criterion]:
    criteria = []
    moments: tuple[tuple[Kind, str], ...] = (("before", "before a burst"), ("after", "2 s after a burst"))
    for kind, words in moments:
        ratios = [p50 / (SINGLE_FACTOR * rounds[n].single_ms + SINGLE_EXTRA_MS) for n, p50 in p50s(ours, kind).items()]
        text = f"p50 of 1 client {words} over {SINGLE_FACTOR} x one picture in process + {SINGLE_EXTRA_MS} ms"
        criteria.append(at_most(text, Spread.of(ratios), 1.0))
    return criteria


def _overload_criteria(ours: Mapping[int, Turn], deadline_ms: float) -> list[Criterion]:
    pairs = [
        (result, turn.capacity_per_s)
        for turn in ours.values()
        if (result := turn.find("overload", OVERLOAD_FACTOR)) and turn.capacity_per_s
    ]
    every = [p.result.num_unanswered for turn in ours.values() for p in turn.phases]
    where = f"at {OVERLOAD_FACTOR:g} times capacity"
    return [
        at_least(f"goodput {where} over capacity", Spread.of([r.goodput_per_s / c for r, c in pairs]), ASKED_GOODPUT),
        at_most(
            f"p99 of accepted requests {where} over the deadline of {deadline_ms:g} ms",
            Spread.of([r.latency_ms["p99"] / deadline_ms for r, _ in pairs if r.latency_ms]),
            1.0,
        ),
        at_most("requests without an answer, all loads", Spread.of([sum(every)] if every else []), 0.0),
    ]


def at_least(text: str, value: Spread | None, limit: float) -> Criterion:
    return _criterion(f"{text}: at least {limit:g}", value, limit, lambda median: median >= limit)


def at_most(text: str, value: Spread | None, limit: float) -> Criterion:
    return _criterion(f"{text}: at most {limit:g}", value, limit, lambda median: median <= limit)


def _criterion(text: str, value: Spread | None, limit: float, holds: Callable[[float], bool]) -> Criterion:
    return Criterion(text, value, limit, None if value is None else holds(value.median))
