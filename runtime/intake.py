"""A request to pixels: what one HTTP request may carry, read, decoded and resized before it joins a batch.

Nothing here computes a prediction and nothing fetches anything: a field that holds a URL is a field that holds no file.
"""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import suppress
from enum import StrEnum
from http import HTTPStatus

import numpy as np
from bentoml.exceptions import BentoMLException
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from runtime.contract import ModelContract
from runtime.errors import ImageError, ImageErrorCode
from runtime.image import ImageArray, decode_image
from runtime.preprocess import preprocess
from runtime.settings import ServingSettings

FIELD = "images"
MULTIPART = "multipart/form-data"


class RequestErrorCode(StrEnum):
    """What can be wrong with a request as a whole; stable, clients may switch on them."""

    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    MALFORMED = "malformed_request"
    UNKNOWN_FIELD = "unknown_field"
    NO_IMAGE = "no_image"
    NOT_A_FILE = "not_a_file"
    TOO_MANY_IMAGES = "too_many_images"


STATUS: dict[RequestErrorCode | ImageErrorCode, HTTPStatus] = {
    RequestErrorCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RequestErrorCode.MALFORMED: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.UNKNOWN_FIELD: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.NO_IMAGE: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.NOT_A_FILE: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.TOO_MANY_IMAGES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ImageErrorCode.EMPTY: HTTPStatus.BAD_REQUEST,
    ImageErrorCode.UNSUPPORTED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ImageErrorCode.CORRUPT: HTTPStatus.BAD_REQUEST,
    ImageErrorCode.TOO_MANY_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


class RequestRefused(BentoMLException):
    """A request that is answered with 4xx; `index` is the offending image's place in the request, if one is at fault.

    A BentoMLException, so that BentoML maps it to its status even without our own error bodies.
    """

    def __init__(self, code: RequestErrorCode | ImageErrorCode, message: str, index: int | None = None) -> None:
        super().__init__(message, error_code=STATUS[code])
        self.code = code
        self.index = index


async def read_images(
    request: Request, contract: ModelContract, settings: ServingSettings, pool: Executor
) -> ImageArray:
    """Read the files of the multipart field `images` and bring each to the model's input.

    Decoding and resizing run in `pool`, never on the event loop. Returns `(N, height, width, 3)` uint8 in the order
    sent. Raises RequestRefused naming the first image that cannot be read.
    """
    encoded = await _read_files(request, settings.max_images_per_request)
    loop = asyncio.get_running_loop()
    tasks = (loop.run_in_executor(pool, _to_input, data, contract, settings.max_pixels) for data in encoded)
    # Waiting for all of them leaves no work behind that nobody waits for.
    results = await asyncio.gather(*tasks, return_exceptions=True)
    return np.stack(list(_require_images(results)))


def warm_up_decoding() -> None:
    """Make Pillow load all its plugins now; the first image, above all a bad one, would wait 0.2 s for them."""
    with suppress(ImageError):
        decode_image(b"no format at all")


async def _read_files(request: Request, max_images: int) -> list[bytes]:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != MULTIPART:
        raise RequestRefused(
            RequestErrorCode.UNSUPPORTED_MEDIA_TYPE,
            f"expected {MULTIPART} with files in the field '{FIELD}', got {media_type or 'no content type'}",
        )
    try:
        form = await request.form(max_files=max_images, max_fields=max_images)
    except HTTPException as exc:
        if "Too many files" in exc.detail:
            message = f"at most {max_images} images are accepted in one request"
            raise RequestRefused(RequestErrorCode.TOO_MANY_IMAGES, message) from exc
        raise RequestRefused(RequestErrorCode.MALFORMED, f"cannot read the form: {exc.detail}") from exc
    unknown = sorted({name for name in form if name != FIELD})
    if unknown:
        raise RequestRefused(
            RequestErrorCode.UNKNOWN_FIELD, f"unknown field(s) {', '.join(unknown)}; only '{FIELD}' is known"
        )
    uploads = form.getlist(FIELD)
    if not uploads:
        raise RequestRefused(RequestErrorCode.NO_IMAGE, f"the field '{FIELD}' is missing; send one or more files in it")
    return [await _read_file(upload, index) for index, upload in enumerate(uploads)]


async def _read_file(upload: UploadFile | str, index: int) -> bytes:
    if isinstance(upload, str):
        message = f"image {index}: the field '{FIELD}' holds text; send the file itself, addresses are not fetched"
        raise RequestRefused(RequestErrorCode.NOT_A_FILE, message, index)
    return await upload.read()


def _to_input(data: bytes, contract: ModelContract, max_pixels: int) -> ImageArray:
    return preprocess(decode_image(data, max_pixels), contract)


def _require_images(results: Iterable[ImageArray | BaseException]) -> Iterable[ImageArray]:
    for index, result in enumerate(results):
        if isinstance(result, ImageError):
            raise RequestRefused(result.code, f"image {index}: {result}", index) from result
        if isinstance(result, BaseException):
            raise result
        yield result
