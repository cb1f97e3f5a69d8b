"""How one deployment runs: the only reader of the environment variables `VISION_*`.

A value that does not fit is an error at start. Unknown `VISION_*` variables are left alone: Kubernetes sets
`VISION_SERVICE_HOST` and the like for a service named "vision".
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime.model.contract import DEFAULT_MODEL
from runtime.model.devices import Device
from runtime.serving.connections.origins import parse_origins
from runtime.serving.fetching.allowed_hosts import AllowedHost, parse_hosts


class SettingsError(ValueError):
    """An environment variable whose value cannot be used; the message names it."""


def _read_origins(value: object) -> object:
    return parse_origins(value) if isinstance(value, str) else value  # pydantic asks for the default, too


def _read_hosts(value: object) -> object:
    return parse_hosts(value) if isinstance(value, str) else value


def _read_folder(value: object) -> object:
    if isinstance(value, str) and value and not Path(value).is_absolute():
        raise ValueError("write the whole path, from / on: the processes of a server run in the folder of its Bento")
    return value or None


def _read_tags(value: object) -> object:
    return tuple(tag.strip() for tag in value.split(",")) if isinstance(value, str) else value


_Tag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*(:[A-Za-z0-9_.-]+)?$")]


class ServingSettings(BaseSettings):
    """Deployment settings; each field is the variable `VISION_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="VISION_", frozen=True)

    model: Annotated[tuple[_Tag, ...], NoDecode, BeforeValidator(_read_tags)] = (DEFAULT_MODEL,)
    """Tags in the model store, with commas between them, that are served or built into a Bento: one model, or one of
    each task. A Bento serves what it holds, and accepts no other."""

    device: Device = "auto"
    """Where the graph runs: `auto` takes CUDA if a device is there, `cuda` refuses to start without one."""

    sessions: Annotated[int, Field(ge=0, le=1024)] = 0
    """Batches that run at the same time; 0 means one for every `threads` cores on a CPU and one on a GPU."""

    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of one inference on a CPU; 0 means an equal share of the cores for each session, one thread where
    `sessions` is 0 too."""

    front_workers: Annotated[int, Field(ge=0, le=256)] = 0
    """Processes that take HTTP and decode, before one inference process a GPU (one on a CPU); 0 for one process that
    does all (docs/SHAPES.md)."""

    max_batch_images: Annotated[int, Field(ge=0, le=4096)] = 0
    """Most images in one batch; 0 means 4 on a CPU, where larger ones gain nothing, and 64 on a GPU."""

    max_queued_images: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Most images that wait for a session; a request beyond it is answered with 503 at once."""

    max_queued_crops: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Most crops of all requests that wait for the classifier of crops; where they are more, detections are answered
    without classifications."""

    deadline_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 5000
    """Time from the end of a request's body after which it is answered with 504 instead of computed."""

    classify_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the deadline after which `/detect` answers without classifications, counted from when the objects are
    found; a tenth of the deadline is always left for the answer. The same goes for masks."""

    decode_threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Images that are decoded and resized at the same time, beside the event loop."""

    max_pixels: Annotated[int, Field(ge=1)] | None = None
    """Largest width x height of an image; larger ones are refused from their header. Unset: 89,478,485 pixels are
    decoded at most, so that a JPEG which is decoded at reduced scale may have 4 times as many."""

    max_images_per_request: Annotated[int, Field(ge=1, le=1000)] = 32
    """Most images that one request may carry."""

    max_tiles_per_request: Annotated[int, Field(ge=1, le=4096)] = 128
    """Most tiles that the images of one request may be cut into together. Each counts as an image that waits: with half
    of `max_queued_images` one request leaves room for others. Until its answer each takes 8 bytes for a pixel of the
    network's input: 128 tiles of 224 x 224 take 51 MB."""

    max_batch_uploads: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Most images that one request to `/detect_batch` may carry."""

    crop_batching: Literal["shared", "request", "window"] = "shared"
    """How crops become batches: those of all requests together (`shared`). The others are for `make bench-pipeline`
    alone, which compares them: one call of the classifier a `request`, or a `window` of 10 ms."""

    max_decoded_bytes: Annotated[int, Field(ge=0)] = 512 * 2**20
    """Most bytes of decoded pictures that one process keeps until crops are cut out of them; a picture that finds no
    room is decoded a second time."""

    max_body_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    """Largest body of a request; refused while it streams."""

    max_inflight_bytes: Annotated[int, Field(ge=1)] = 2**30
    """Most bytes that the bodies of all requests in one process may have together, each from its arrival to the end of
    its request; the request that goes beyond it is answered with 503 while it streams. Forms and base64 are copied
    while they are read, so memory can be three times this."""

    body_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Longest that a client may take to send a body."""

    header_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Longest that a client may take to send a request's headers, and that a new connection may be silent."""

    label_studio_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?)?$")] = ""
    """Address of the Label Studio whose model the service is, below `/labelstudio`, such as `http://127.0.0.1:8080`;
    pictures are fetched from that host alone. Empty: there is no `/labelstudio`."""

    label_studio_token: SecretStr = SecretStr("")
    """Token of an account there, by which pictures are fetched."""

    drain_grace_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    """Seconds after SIGTERM in which `/readyz` answers 503 and all else goes on, for a load balancer to turn away; the
    image sets 5."""

    drain_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """Longest that accepted requests may take after the grace; their connections are then dropped. The server has ended
    at most 6 s later, 11 s with front workers."""

    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read_origins)] = ()
    """Origins, with commas between them, whose web pages may read the answers, such as `https://app.example.com`; `*`
    for every page there is, empty for none."""

    fetch_hosts: Annotated[tuple[AllowedHost, ...], NoDecode, BeforeValidator(_read_hosts)] = ()
    """Hosts, with commas between them, from which images of lists may be fetched: `images.example.org`,
    `*.example.org:8443`, or `camera@10.0.5.0/24` for one whose addresses lie in that network, public or not. Empty:
    nothing is fetched."""

    fetch_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Longest that fetching one image may take, with its redirects; it may be as large as `max_body_bytes`."""

    max_fetches: Annotated[int, Field(ge=1, le=256)] = 8
    """Images that one process fetches at the same time; each may take twice `max_body_bytes` of memory, as it is copied
    once. Jobs fetch beside them, `job_images_in_flight` at most."""

    jobs_dir: Annotated[Path | None, BeforeValidator(_read_folder)] = None
    """Folder, on a disk of this machine and by its path from `/` on, in which jobs are kept; unset: there is no
    `/jobs`."""

    max_jobs: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Most jobs that are kept, those that are done included."""

    max_job_images: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Most images of one job."""

    max_jobs_bytes: Annotated[int, Field(ge=2**20)] = 4 * 2**30
    """Most bytes of the file of jobs, beside which it has a log; images may have nine tenths of it, and leave it when
    they are done."""

    keep_jobs_h: Annotated[float, Field(gt=0, le=24 * 3660)] = 24.0
    """Hours after which a job that is done is forgotten, with its answers."""

    job_images_in_flight: Annotated[int, Field(ge=1, le=1024)] = 4
    """Images of jobs that are worked on at the same time."""

    ui: bool = True
    """Whether there is a page at `/ui` (docs/PAGE.md)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_images_per_request > self.max_queued_images:
            raise ValueError(
                f"VISION_MAX_QUEUED_IMAGES={self.max_queued_images} must not be less than "
                f"VISION_MAX_IMAGES_PER_REQUEST={self.max_images_per_request}"
            )
        if self.max_body_bytes > self.max_inflight_bytes:
            raise ValueError(
                f"VISION_MAX_INFLIGHT_BYTES={self.max_inflight_bytes} must not be less than "
                f"VISION_MAX_BODY_BYTES={self.max_body_bytes}"
            )
        if self.label_studio_url and not self.label_studio_token.get_secret_value():
            raise ValueError("VISION_LABEL_STUDIO_URL needs VISION_LABEL_STUDIO_TOKEN, the token of an account there")
        return self

    @classmethod
    def read(cls) -> Self:
        """Read the environment. Raises SettingsError naming every variable whose value does not fit."""
        try:
            return cls()
        except ValidationError as exc:
            problems = "; ".join(
                f"VISION_{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg']}" if e["loc"] else e["msg"]
                for e in exc.errors()
            )
            raise SettingsError(f"cannot use the environment: {problems}") from exc
