"""A request to pixels: what one HTTP request may carry, read, decoded and resized before it joins a batch.

Nothing here computes a prediction and nothing fetches anything. Forms: `runtime/intake_forms.py`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress

import numpy as np
from starlette.requests import ClientDisconnect, Request

from runtime.contract import ModelContract
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
from runtime.settings import ServingSettings


async def read_images(
    request: Request, contract: ModelContract, settings: ServingSettings, pool: Executor
) -> ImageArray:
    """Read the images of a request in any of the four forms and bring each to the model's input.

    Parsing JSON, base64, decoding and resizing run in `pool`, never on the event loop. Returns
    `(N, height, width, 3)` uint8 in the order sent. Raises RequestRefused naming the first image that cannot be read,
    ClientGoneError.
    """
    try:
        encoded = await _read_body(request, settings.max_images_per_request, pool)
    except ClientDisconnect as exc:
        raise ClientGoneError("the client closed the connection before its body ended") from exc
    loop = asyncio.get_running_loop()
    if len(encoded) == 1:  # nearly every request: nothing to gather, nothing to copy
        image = await loop.run_in_executor(pool, _to_input, encoded[0], 0, contract, settings.max_pixels)
        return image[None]
    tasks = (
        loop.run_in_executor(pool, _to_input, data, index, contract, settings.max_pixels)
        for index, data in enumerate(encoded)
    )
    # Waiting for all of them leaves no work behind that nobody waits for.
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return np.stack(list(_require_images(results)))


def warm_up_decoding() -> None:
    """Make Pillow load all its plugins now; the first image, above all a bad one, would wait 0.2 s for them."""
    with suppress(ImageError):
        decode_image(b"no format at all")


async def _read_body(request: Request, max_images: int, pool: Executor) -> Sequence[bytes | str]:
    """Return encoded images: bytes, or text in base64."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        message = f"content encoding {encoding[:40]!r} is not accepted; send the body as it is"
        raise RequestRefused(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == MULTIPART:
        return await read_multipart(request, max_images)
    if media_type == JSON:
        body = await request.body()
        return await asyncio.get_running_loop().run_in_executor(pool, read_json, body, max_images)
    if media_type.startswith(IMAGE_PREFIX):
        return await read_raw(request)
    raise RequestRefused(
        RequestErrorCode.UNSUPPORTED_MEDIA_TYPE,
        f"expected {MULTIPART}, {JSON} or {IMAGE_PREFIX}*, got {media_type[:40] or 'no content type'}",
    )


def _to_input(encoded: bytes | str, index: int, contract: ModelContract, max_pixels: int) -> ImageArray:
    data = decode_base64(encoded, index) if isinstance(encoded, str) else encoded
    try:
        return read_for_model(data, contract, max_pixels)
    except ImageError as exc:
        raise RequestRefused(exc.code, f"image {index}: {exc}", index) from exc


def _require_images(results: Iterable[ImageArray | BaseException]) -> Iterable[ImageArray]:
    for result in results:
        if isinstance(result, BaseException):
            raise result
        yield result
