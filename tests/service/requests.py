"""Pictures and whole requests that the tests of the service send."""

import io
import re

import httpx
from PIL import Image

from tests.bento_project import Served
from tests.onnx_fixture import COLOURS


def png(width: int = 50, height: int = 40, colour: tuple[int, int, int] = COLOURS["red"]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


def truncated_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((90, 90), 50).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()[:-500]


def post(served: Served, body: bytes, media_type: str, **headers: str) -> httpx.Response:
    """Send one body to the endpoint."""
    return httpx.post(f"{served.url}/predict", content=body, headers={"Content-Type": media_type, **headers})


def code_and_index(response: httpx.Response) -> tuple[str, int | None]:
    """Return what went wrong, having checked that the answer has the one form of every error."""
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["error"]
    error = response.json()["error"]
    assert list(error) == ["code", "message", "index", "request_id"]
    assert error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    index = error["index"]
    assert index is None or f"image {index}: " in error["message"]
    return error["code"], index


def stage_times_ms(response: httpx.Response) -> dict[str, float]:
    """Read `Server-Timing`: milliseconds by stage, in the order sent."""
    return {name: float(ms) for name, ms in re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"])}
