"""Why one node's part of a run ended, as its agent writes it and the job reads it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

KILLED = "killed by "
KILL_SEEN_WITHIN_S = 2


class Failure(BaseModel):
    """The first process that failed on a node. reason: without what differs from run to run. time: seconds, Unix."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    rank: int
    time: int
    reason: str


def first_failure(folder: Path, status: int) -> Failure:
    """Return the failure that came first; the other nodes' are its echo. One is made up from `status` if none is there.

    A kill comes before exceptions up to KILL_SEEN_WITHIN_S older: nobody is killed by an exception on another node, and
    a kill is dated when the agent notices it, an exception, which may be its echo, when it is raised.
    """
    found = [Failure.model_validate_json(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    unknown = Failure(node="", rank=-1, time=0, reason=f"srun ended with status {status}; no node said why")
    first = min(found, key=lambda one: one.time, default=unknown)
    kills = [one for one in found if one.reason.startswith(KILLED) and one.time <= first.time + KILL_SEEN_WITHIN_S]
    return min(kills, key=lambda one: one.time, default=first)
