"""What `training.rank_check` finds, in a module of its own: who reads it needs no torch."""

from pydantic import BaseModel, ConfigDict


class RankFacts(BaseModel):
    """One process: where it runs and on what. device: unique over all machines; empty on a CPU, which is shared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int
    node: str
    local_rank: int
    device: str


class RankReport(BaseModel):
    """What all processes found. bandwidth_mib_s: size of the tensor in MiB -> bytes that a process sends a second.

    The algorithm sends 2 (n - 1) / n of the tensor over each process's link; this is that, over the best round's time.
    sum_is_right: whether an all-reduce of known numbers gave their sum in every process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    world_size: int
    backend: str
    ranks: tuple[RankFacts, ...]
    sum_is_right: bool
    bandwidth_mib_s: dict[int, float]
