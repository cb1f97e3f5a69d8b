"""A request to pixels: what one HTTP request may carry, read, decoded and resized before it joins a batch.

Nothing here computes a prediction and nothing fetches anything. Which form a body has:
`runtime/serving/intake/body_forms.py`.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from starlette.requests import ClientDisconnect, Request

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.model.contract import ModelContract
from runtime.model.errors import ImageError
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement, read_placed
from runtime.serving.disconnect import ClientGoneError
from runtime.serving.intake.base64_text import decode_base64
from runtime.serving.intake.body_forms import Form, tell_form
from runtime.serving.intake.json_body import read_json
from runtime.serving.intake.multipart import read_multipart
from runtime.serving.intake.wanted_answer import WantedAnswer
from runtime.serving.settings import ServingSettings

T = TypeVar("T")
# A form of one picture is taken apart faster than a thread is asked to do it.
MAX_INLINE_BYTES = 2**18


class RunInThreads(Protocol):
    """Calls each function in a thread, within the request's deadline, and returns what they return, in order."""

    def __call__(self, functions: Sequence[Callable[[], T]], /) -> Awaitable[list[T]]: ...


class ReadImages(NamedTuple):
    """A request's images.

    pixels: `(N, height, width, 3)` uint8 in the order sent, at the model's input. places: where each picture lies in
    it. encoded: the files, if the answer is drawn on them; else nothing keeps their bytes.
    """

    pixels: ImageArray
    places: list[Placement]
    encoded: Sequence[bytes]


async def read_images(
    request: Request, contract: ModelContract, settings: ServingSettings, wanted: WantedAnswer, run: RunInThreads
) -> ReadImages:
    """Read the images of a request in any of the four forms and bring each to the model's input.

    Parsing JSON and large forms, base64, decoding and resizing are left to `run`, never done on the event loop. Raises
    RequestRefused naming the first image that cannot be read, ClientGoneError.
    """
    sent = await read_sent(request, settings.max_images_per_request, run)
    wanted.check_number(len(sent))
    read = await run(
        [partial(_to_input, data, index, contract, settings.max_pixels) for index, data in enumerate(sent)]
    )
    images = [image for image, _, _ in read]
    pixels = images[0][None] if len(images) == 1 else np.stack(images)  # nearly every request: nothing to copy
    encoded = [data for _, _, data in read] if wanted.form == "overlay" else []
    return ReadImages(pixels, [place for _, place, _ in read], encoded)


async def read_sent(request: Request, max_images: int, run: RunInThreads) -> Sequence[bytes | str]:
    """Read the images of a request in any of the four forms, still encoded: bytes, or text in base64.

    Raises RequestRefused for a body that is of none of them, ClientGoneError.
    """
    try:
        return await _read_body(request, max_images, run)
    except ClientDisconnect as exc:
        raise ClientGoneError("the client closed the connection before its body ended") from exc


async def _read_body(request: Request, max_images: int, run: RunInThreads) -> Sequence[bytes | str]:
    """Return encoded images: bytes, or text in base64."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", ""):
        message = f"content encoding {encoding[:40]!r} is not accepted; send the body as it is"
        raise RequestRefused(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    content_type = request.headers.get("content-type", "")
    # Not `request.body()`, which keeps it for as long as there is the request.
    body = b"".join([chunk async for chunk in request.stream()])
    form = tell_form(content_type, body)
    if form is Form.RAW:
        return [body]
    if form is Form.MULTIPART and len(body) <= MAX_INLINE_BYTES:
        return read_multipart(content_type, body, max_images)
    if form is Form.MULTIPART:
        [files] = await run([partial(read_multipart, content_type, body, max_images)])
        return files
    [texts] = await run([partial(read_json, body, max_images)])
    return texts


def _to_input(
    encoded: bytes | str, index: int, contract: ModelContract, max_pixels: int | None
) -> tuple[ImageArray, Placement, bytes]:
    with refusing_image(index):
        data = image_bytes(encoded, index)
        return *read_placed(data, contract, max_pixels), data


def image_bytes(encoded: bytes | str, index: int) -> bytes:
    """Return the file of an image as `read_sent` gives it. Raises RequestRefused for text that is not base64."""
    return decode_base64(encoded, index) if isinstance(encoded, str) else encoded


@contextmanager
def refusing_image(index: int) -> Iterator[None]:
    """Say of an image that cannot be read that it is the one at this place of its request: raises RequestRefused."""
    try:
        yield
    except ImageError as exc:
        raise RequestRefused(exc.code, str(exc), index) from exc
