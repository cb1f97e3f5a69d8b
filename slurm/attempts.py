"""What became of each attempt of a job to run on its nodes, kept on disk: a requeued job must not forget.

A job that fails again and again for the same reason is not helped by trying once more.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slurm.agent_failure import Failure
from slurm.allocation import Allocation

MAX_SAME_FAILURES = 3


class Attempt(BaseModel):
    """One line of the record. failure: None if the attempt was done, or ended by a warning: saved and left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: int
    failure: Failure | None


class Attempts:
    """The attempts of one job, in a file of its own: nodes of a network disk must not append to one together."""

    def __init__(self, folder: Path, allocation: Allocation) -> None:
        """Begin a record, or go on with that of a job that was requeued. folder: on the shared disk."""
        self.path = folder / f"attempts-{allocation.job_id}.jsonl"
        if allocation.restarts == 0:  # what is there is of an older job: clusters begin to count anew
            self.path.unlink(missing_ok=True)

    def record(self, status: int, failure: Failure | None) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            # On a line of its own, also after half a line that a dying node left.
            file.write("\n" * (file.tell() > 0) + Attempt(status=status, failure=failure).model_dump_json())

    def same_failures(self) -> int:
        """How many of the last attempts in a row failed for one reason; 0 if the last one did not fail."""
        number = 0
        attempts = self._read()
        for attempt in reversed(attempts):
            last = attempts[-1].failure
            if attempt.failure is None or last is None or attempt.failure.reason != last.reason:
                break
            number += 1
        return number

    def is_done(self) -> bool:
        """Whether the last attempt came to its end."""
        attempts = self._read()
        return bool(attempts) and attempts[-1].status == 0

    def _read(self) -> list[Attempt]:
        if not self.path.is_file():
            return []
        attempts = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                attempts.append(Attempt.model_validate_json(line))
            except ValidationError:  # half a line
                continue
        return attempts
