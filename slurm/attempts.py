"""What became of each attempt of a job to run on its nodes, kept on disk: a requeued job must not forget.

A job that fails again and again for the same reason is not helped by trying once more.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from slurm.agent_failure import Failure

MAX_SAME_FAILURES = 3


class Attempt(BaseModel):
    """One line of the record. failure: None if the attempt ended by a signal, saved and left."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: str
    status: int
    failure: Failure | None


class Attempts:
    """The attempts of one job, in a file that the jobs of a folder share."""

    def __init__(self, path: Path, job_id: str) -> None:
        self._path = path
        self._job_id = job_id

    def record(self, status: int, failure: Failure | None) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(Attempt(job_id=self._job_id, status=status, failure=failure).model_dump_json() + "\n")

    def same_failures(self) -> int:
        """How many of the last attempts in a row failed for one reason; 0 if the last one did not fail."""
        number = 0
        mine = self._read()
        for attempt in reversed(mine):
            if attempt.failure is None or (mine[-1].failure and attempt.failure.reason != mine[-1].failure.reason):
                break
            number += 1
        return number

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> list[Attempt]:
        if not self._path.is_file():
            return []
        attempts = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                attempts.append(Attempt.model_validate_json(line))
            except ValidationError:  # half a line: the node died while it was written
                continue
        return [attempt for attempt in attempts if attempt.job_id == self._job_id]
