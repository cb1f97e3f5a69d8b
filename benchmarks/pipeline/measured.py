"""What a run of the pipeline's benchmark measured: one load each, rounds of it, and the JSON between both commands."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.load.load import percentile
from benchmarks.machine import Machine
from benchmarks.pages.summary import Spread

STAGES = ("decode", "detect", "crop", "classify", "encode")
OPEN_RATE_PER_S = 5.0
OURS, PER_REQUEST, WINDOW = "shared", "request", "window"
WAYS = {OURS: "crops of all requests together", PER_REQUEST: "one call a request", WINDOW: "a window of 10 ms"}
NUM_QUANTILES = 21
_FROZEN = ConfigDict(frozen=True, extra="forbid")


class ReportError(ValueError):
    """A report that cannot be used; the message says what to do."""


class StageTimes(BaseModel):
    """What a stage took for the answered requests, in milliseconds, with its wait for others of the stage."""

    model_config = _FROZEN

    p50_ms: float
    p95_ms: float


class Phase(BaseModel):
    """One load on one way of batching. load: clients of a closed loop, or `5/s`.

    offered_per_s: requests that came, in an open loop by chance more or fewer than its rate. p50_ms, p95_ms: from the
    moment a request was due. busy: of each stage, the share of its slots that worked.
    """

    model_config = _FROZEN

    way: str
    round: int
    load: str
    offered_per_s: float
    goodput_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    stages: dict[str, StageTimes]
    busy: dict[str, float]
    crops_a_batch: float


class Costs(BaseModel):
    """What a lone request costs, for `benchmarks.budget`.

    quantiles_ms: of decode, crop, encode and `other`, which no stage is charged for, at one client; and of detect and
    classify as multiples of their means. detect_ms: of a batch of one picture; classify_ms: of one crop; growth: what
    each further image of a batch adds, as a share of the first.
    """

    model_config = _FROZEN

    quantiles_ms: dict[str, list[float]]
    detect_ms: float
    classify_ms: float
    detect_growth: float
    classify_growth: float


class Shape(BaseModel):
    """How the server was deployed, and what each request asked of it."""

    model_config = _FROZEN

    cores: int
    decode_threads: int
    sessions: int
    max_batch_images: int
    crops: int


class PipelineReport(BaseModel):
    """What one run measured. models: in words. costs: None until the first round is through."""

    model_config = ConfigDict(extra="forbid")

    machine: Machine
    models: str
    picture_bytes: int
    shape: Shape
    phases: list[Phase] = []
    costs: Costs | None = None

    @classmethod
    def read(cls, path: Path) -> "PipelineReport":
        """Raise ReportError if it is not there or not such a report."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            document.pop("rows", None)
            document.pop("gains", None)
            return cls.model_validate(document)
        except FileNotFoundError as exc:
            raise ReportError(f"{path} is not there: `make bench-pipeline` measures it") from exc
        except (OSError, ValueError, AttributeError, ValidationError) as exc:
            raise ReportError(f"{path} is no report of `make bench-pipeline`: {exc}") from exc

    @property
    def loads(self) -> list[str]:
        return list(dict.fromkeys(phase.load for phase in self.phases))

    def bottleneck(self, load: str) -> tuple[str, float] | None:
        """Return the stage of our way whose slots were busiest at a load, the median over rounds, and that share."""
        mine = [phase for phase in self.phases if (phase.way, phase.load) == (OURS, load)]
        if not mine:
            return None
        shares = {stage: statistics.median(phase.busy[stage] for phase in mine) for stage in STAGES}
        first = max(shares, key=lambda stage: shares[stage])
        return first, shares[first]

    def rows(self) -> list[dict[str, object]]:
        """Return one row for each load of our way: rates, latencies, stages, and the bottleneck."""
        return [self._row(load) for load in self.loads]

    def _row(self, load: str) -> dict[str, object]:
        mine = [phase for phase in self.phases if (phase.way, phase.load) == (OURS, load)]
        row: dict[str, object] = {
            "load": load,
            "offered_per_s": Spread.of([phase.offered_per_s for phase in mine]),
            "goodput_per_s": Spread.of([phase.goodput_per_s for phase in mine]),
            "p50_ms": Spread.of([phase.p50_ms for phase in mine if phase.p50_ms is not None]),
            "p95_ms": Spread.of([phase.p95_ms for phase in mine if phase.p95_ms is not None]),
            "bottleneck": self.bottleneck(load),
        }
        for stage in STAGES:
            found = [phase.stages[stage] for phase in mine if stage in phase.stages]
            row[f"{stage}_p50_ms"] = Spread.of([times.p50_ms for times in found])
            row[f"{stage}_p95_ms"] = Spread.of([times.p95_ms for times in found])
            row[f"{stage}_busy"] = Spread.of([phase.busy[stage] for phase in mine])
        return row

    def gains(self) -> list[dict[str, object]]:
        """Return what our way gains over each other one at each load, of figures of one round.

        throughput_ratio: answers a second, ours by theirs. added_p50_ms, added_p95_ms: ours less theirs.
        """
        return [self._gain(way, load) for way in (PER_REQUEST, WINDOW) for load in self.loads]

    def _gain(self, way: str, load: str) -> dict[str, object]:
        ours, theirs = (
            {phase.round: phase for phase in self.phases if (phase.way, phase.load) == (name, load)}
            for name in (OURS, way)
        )
        pairs = [(ours[number], theirs[number]) for number in ours if number in theirs]
        return {
            "against": way,
            "load": load,
            "throughput_ratio": Spread.of([a.goodput_per_s / b.goodput_per_s for a, b in pairs if b.goodput_per_s]),
            "added_p50_ms": Spread.of([a.p50_ms - b.p50_ms for a, b in pairs if a.p50_ms and b.p50_ms]),
            "added_p95_ms": Spread.of([a.p95_ms - b.p95_ms for a, b in pairs if a.p95_ms and b.p95_ms]),
            "crops_a_batch": Spread.of([a.crops_a_batch for a, _ in pairs]),
            "their_crops_a_batch": Spread.of([b.crops_a_batch for _, b in pairs]),
        }

    def to_json(self) -> str:
        """Return the report with its table; `read` reads it back."""
        tables = {"rows": _plain(self.rows()), "gains": _plain(self.gains())}
        return json.dumps({**tables, **self.model_dump(mode="json")}, indent=2) + "\n"


def _plain(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: vars(value) if isinstance(value, Spread) else value for name, value in row.items()} for row in rows]


def stage_times(values_ms: Sequence[float]) -> StageTimes:
    """Return the median and p95 of at least one value."""
    ascending = sorted(values_ms)
    return StageTimes(p50_ms=statistics.median(ascending), p95_ms=percentile(ascending, 95))


def quantiles(values: Sequence[float]) -> list[float]:
    """Return `NUM_QUANTILES` values from the least to the greatest, evenly by rank."""
    ascending = sorted(values)
    last = len(ascending) - 1
    return [ascending[round(last * index / (NUM_QUANTILES - 1))] for index in range(NUM_QUANTILES)]
