"""How one deployment runs: the only reader of the environment variables `VISION_*`.

A value that does not fit is an error at start. Unknown `VISION_*` variables are left alone: Kubernetes sets
`VISION_SERVICE_HOST` and the like for a service named "vision".
"""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime.image import MAX_PIXELS

Device = Literal["auto", "cpu", "cuda"]


class SettingsError(ValueError):
    """An environment variable whose value cannot be used; the message names it."""


class ServingSettings(BaseSettings):
    """Deployment settings; each field is the variable `VISION_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="VISION_", frozen=True)

    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*(:[A-Za-z0-9_.-]+)?$")] = "vision-classifier:latest"
    """Tag in the model store that is served or built into a Bento; inside a Bento only the Bento's own is accepted."""

    device: Device = "auto"
    """Where the graph runs: `auto` takes CUDA if a device is there, `cuda` refuses to start without one."""

    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of one inference on a CPU; 0 means as many as cores that this process may use."""

    decode_threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Images that are decoded and resized at the same time, beside the event loop."""

    max_pixels: Annotated[int, Field(ge=1)] = MAX_PIXELS
    """Largest width x height of an image; larger ones are refused from their header."""

    max_images_per_request: Annotated[int, Field(ge=1, le=1000)] = 32
    """Most files that one request may carry."""

    @classmethod
    def read(cls) -> Self:
        """Read the environment. Raises SettingsError naming every variable whose value does not fit."""
        try:
            return cls()
        except ValidationError as exc:
            problems = "; ".join(
                f"VISION_{'_'.join(map(str, e['loc'])).upper()}={e['input']!r}: {e['msg']}" for e in exc.errors()
            )
            raise SettingsError(f"cannot use the environment: {problems}") from exc
