"""A request to pixels: what one HTTP request may carry, read, decoded and resized before it joins a batch.

Nothing here computes a prediction and nothing fetches anything. Forms: `runtime/intake_forms.py`.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import numpy as np
from starlette.requests import ClientDisconnect, Request

from runtime.contract import ModelContract
from runtime.decoders import Decoders
from runtime.departures import ClientGoneError
from runtime.errors import ImageError
from runtime.image import ImageArray, decode_image
from runtime.intake_forms import (
    IMAGE_PREFIX,
    JSON,
    MULTIPART,
    decode_base64,
    read_json,
    read_multipart,
    read_raw,
)
from runtime.preprocess import read_for_model
from runtime.refusals import RequestErrorCode, RequestRefused
from runtime.request_record import RequestRecord
from runtime.settings import ServingSettings

T = TypeVar("T")


async def read_images(
    request: Request, contract: ModelContract, settings: ServingSettings, decoders: Decoders, record: RequestRecord
) -> ImageArray:
    """Read the images of a request in any of the four forms and bring each to the model's input.

    Parsing JSON, base64, decoding and resizing run in `decoders`, never on the event loop. Returns
    `(N, height, width, 3)` uint8 in the order sent. Raises RequestRefused naming the first image that cannot be read,
    DeadlineExceededError, ClientGoneError.
    """

    async def run(functions: Sequence[Callable[[], T]]) -> list[T]:
        passed_s = time.perf_counter() - (record.received_at or record.started_at)
        return await decoders.run(functions, settings.deadline_ms / 1e3 - passed_s, record.receive)

    try:
        encoded = await _read_body(request, settings.max_images_per_request, run)
    except ClientDisconnect as exc:
        raise ClientGoneError("the client closed the connection before its body ended") from exc
    images = await run(
        [partial(_to_input, data, index, contract, settings.max_pixels) for index, data in enumerate(encoded)]
    )
    return images[0][None] if len(images) == 1 else np.stack(images)  # nearly every request: nothing to copy


def warm_up_decoding() -> None:
    """Make Pillow load all its plugins now; the first image, above all a bad one, would wait 0.2 s for them."""
    with suppress(ImageError):
        decode_image(b"no format at all")


async def _read_body(
    request: Request, max_images: int, run: Callable[[Sequence[Callable[[], list[str]]]], Awaitable[list[list[str]]]]
) -> Sequence[bytes | str]:
    """Return encoded images: bytes, or text in base64."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        message = f"content encoding {encoding[:40]!r} is not accepted; send the body as it is"
        raise RequestRefused(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == MULTIPART:
        return await read_multipart(request, max_images)
    if media_type == JSON:
        [texts] = await run([partial(read_json, await request.body(), max_images)])
        return texts
    if media_type.startswith(IMAGE_PREFIX):
        return await read_raw(request)
    raise RequestRefused(
        RequestErrorCode.UNSUPPORTED_MEDIA_TYPE,
        f"expected {MULTIPART}, {JSON} or {IMAGE_PREFIX}*, got {media_type[:40] or 'no content type'}",
    )


def _to_input(encoded: bytes | str, index: int, contract: ModelContract, max_pixels: int | None) -> ImageArray:
    data = decode_base64(encoded, index) if isinstance(encoded, str) else encoded
    try:
        return read_for_model(data, contract, max_pixels)
    except ImageError as exc:
        raise RequestRefused(exc.code, f"image {index}: {exc}", index) from exc
