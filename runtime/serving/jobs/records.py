"""What is known of a job, and what an image of it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from runtime.serving.intake.image_list import ImageAddress, SentImage

JobState = Literal["queued", "running", "done"]
STATES = ("queued", "running", "done", "failed")


@dataclass(frozen=True)
class NewJob:
    """A job as a client asks for it.

    task: name of an endpoint. content_sha256: of task and images, by which a repeated request is known.
    """

    id: str
    task: str
    images: Sequence[SentImage]
    request_id: str
    trace_id: str
    content_sha256: str
    idempotency_key: str | None = None


@dataclass(frozen=True)
class JobStatus:
    """How far a job is. counts: of its images by their state; times in seconds since 1970."""

    id: str
    task: str
    num_images: int
    counts: Mapping[str, int]
    created_at: float
    finished_at: float | None

    @property
    def state(self) -> JobState:
        if self.finished_at is not None:
            return "done"
        return "queued" if self.counts["queued"] == self.num_images else "running"

    def as_json(self) -> dict[str, object]:
        return {
            "id": self.id,
            "task": self.task,
            "state": self.state,
            "images": self.num_images,
            "counts": dict(self.counts),
            "created_at": _written(self.created_at),
            "finished_at": None if self.finished_at is None else _written(self.finished_at),
        }


@dataclass(frozen=True)
class Claim:
    """One image to be answered.

    job: its number in the database. job_id: which no other database has. place: the image's in the job, from 0.
    """

    job: int
    job_id: str
    place: int
    task: str
    image: SentImage
    num_attempts: int
    request_id: str
    trace_id: str


@dataclass(frozen=True)
class Page:
    """A job with some of its answers, each a line of JSON, in the order in which they came."""

    status: JobStatus
    lines: Sequence[str]


def kind_and_content(image: SentImage) -> tuple[str, bytes | str]:
    """Return an image as the database has it."""
    if isinstance(image, ImageAddress):
        return "url", image.url
    return ("base64" if isinstance(image, str) else "file"), image


def image_of(kind: str, content: bytes | str) -> SentImage:
    """Return what `kind_and_content` was made of."""
    return ImageAddress(str(content)) if kind == "url" else content


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
