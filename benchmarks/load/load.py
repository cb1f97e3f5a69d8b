"""What the load generator is told, and what it answers; both cross between processes as JSON.

Only the standard library is loaded: the generator's process shares cores with the server.
"""

from dataclasses import dataclass
from typing import Literal


class LoadError(ValueError):
    """A load that cannot be made; the message says which value does not fit."""


@dataclass(frozen=True)
class Load:
    """What to send where. Counted is what is due, or answered, in the window of `duration_s` after `ramp_s`."""

    host: str
    port: int
    request_path: str  # a file with the whole HTTP request
    duration_s: float
    ramp_s: float = 0.3
    timeout_s: float = 10.0  # then a request counts as not answered
    num_clients: int = 0  # closed loop
    rate_per_s: float = 0.0  # open loop
    arrivals: Literal["poisson", "fixed"] = "poisson"
    seed: int = 0
    max_connections: int = 512  # open loop: beyond it a request waits here, and its clock runs

    def __post_init__(self) -> None:
        if (self.num_clients > 0) == (self.rate_per_s > 0):
            raise LoadError(f"expected clients or a rate, got {self.num_clients} clients and {self.rate_per_s}/s")
        if self.duration_s <= 0 or self.timeout_s <= 0 or self.ramp_s < 0 or self.max_connections < 1:
            raise LoadError(f"durations and limits must be positive, got {self}")


@dataclass(frozen=True)
class LoadResult:
    """Rates, latencies and the generator's own cost; latencies are of 2xx answers, None where there is none."""

    offered_per_s: float  # requests due in the window
    answered_per_s: float  # answers of any status that came in the window
    goodput_per_s: float  # 2xx answers that came in the window
    answers: dict[str, int]  # of the requests due in the window, by outcome
    latency_ms: dict[str, float] | None  # p50, p90, p95, p99, max; of requests due in the window
    num_answered: int  # any status, over the whole run
    num_unanswered: int  # timeouts and lost connections, over the whole run
    send_lag_p99_ms: float  # how late requests left: the generator's own fault, or its bound on connections
    generator_cores: float  # CPU time the generator used, per second of the window
