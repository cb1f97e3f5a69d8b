"""A request to pixels: what one HTTP request may carry, read, decoded and resized before it joins a batch.

Nothing here computes a prediction and nothing fetches anything: addresses of lists are handed on to
`runtime/serving/fetching`. Which form a body has: `runtime/serving/intake/body_forms.py`.
"""

import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol, TypeVar, cast

import numpy as np
from starlette.requests import ClientDisconnect, Request

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.tiled import read_tiles
from runtime.model.contract import ModelContract, SegmentationContract
from runtime.model.errors import ImageError, ViewError, ViewErrorCode
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement, read_placed
from runtime.serving.disconnect import ClientGoneError
from runtime.serving.intake.base64_text import decode_base64
from runtime.serving.intake.body_forms import Form, tell_form
from runtime.serving.intake.image_list import SentImage
from runtime.serving.intake.json_body import JsonBody, ListBody, read_json, read_list_json
from runtime.serving.intake.multipart import read_multipart
from runtime.serving.intake.wanted_answer import WantedAnswer
from runtime.serving.intake.wanted_parts import PARTS, Parts, WantedParts
from runtime.serving.settings import ServingSettings

T = TypeVar("T")
# A form of one picture is taken apart faster than a thread is asked to do it.
MAX_INLINE_BYTES = 2**18


class RunInThreads(Protocol):
    """Calls each function in a thread, within the request's deadline, and returns what they return, in order."""

    def __call__(self, functions: Sequence[Callable[[], T]], /) -> Awaitable[list[T]]: ...


class ReadImages(NamedTuple):
    """A request's images.

    pixels: `(N, height, width, 3)` uint8 in the order sent, at the model's input: of each picture one, or its tiles.
    places: of each picture, where these lie in it. parts: what of the pictures is looked at. encoded: the files, if the
    answer is drawn on them or filters look at them; else nothing keeps their bytes.
    """

    pixels: ImageArray
    places: list[list[Placement]]
    parts: Parts
    encoded: Sequence[bytes]


async def read_images(
    request: Request, contract: ModelContract, settings: ServingSettings, wanted: WantedAnswer, run: RunInThreads,
    keeps_files: bool = False,
) -> ReadImages:  # fmt: skip
    """Read the images of a request in any of the four forms and bring each to the model's input.

    Parsing JSON and large forms, base64, decoding and resizing are left to `run`, never done on the event loop.
    keeps_files: whether filters look at the images later on. Raises RequestRefused naming the first image that cannot
    be read, ClientGoneError.
    """
    names = PARTS if wanted.parts else ()
    read_document = partial(read_json, max_images=settings.max_images_per_request, options=names)
    found, options = await _read_whole_body(request, settings.max_images_per_request, read_document, run)
    sent = cast(Sequence[bytes | str], found)
    stated = (wanted.parts or WantedParts()).joined(WantedParts.of_json(options))
    wanted.check_number(len(sent))
    parts = stated.over(contract)
    read_one = Reader(contract, settings, parts)
    read = await run([partial(read_one, data, index) for index, data in enumerate(sent)])
    images = [image for image, _, _ in read]
    pixels = images[0]  # nearly every request: nothing to copy
    if len(images) > 1:
        [pixels] = await run([partial(np.concatenate, images)])
    encoded = [data for _, _, data in read] if keeps_files or wanted.form == "overlay" else []
    return ReadImages(pixels, [places for _, places, _ in read], parts, encoded)


async def read_sent(request: Request, max_images: int, run: RunInThreads) -> Sequence[bytes | str]:
    """Read the images of a request in any of the four forms, still encoded: bytes, or text in base64.

    Raises RequestRefused for a body that is of none of them, ClientGoneError.
    """
    sent, _ = await _read_whole_body(request, max_images, partial(read_json, max_images=max_images), run)
    return cast(Sequence[bytes | str], sent)


async def read_list(
    request: Request, max_images: int, run: RunInThreads, options: Sequence[str] = ()
) -> tuple[Sequence[SentImage], Mapping[str, object]]:
    """Read a list of images as `read_sent` does; in JSON some may be addresses, which nobody has looked at.

    Returns beside them the values of the fields called `options` that JSON has. Raises RequestRefused,
    ClientGoneError.
    """
    read_document = partial(read_list_json, max_images=max_images, options=options)
    return await _read_whole_body(request, max_images, read_document, run)


async def _read_whole_body(
    request: Request, max_images: int, read_document: Callable[[bytes], JsonBody | ListBody], run: RunInThreads
) -> tuple[Sequence[SentImage], Mapping[str, object]]:
    try:
        return await _read_body(request, max_images, read_document, run)
    except ClientDisconnect as exc:
        raise ClientGoneError("the client closed the connection before its body ended") from exc


async def _read_body(
    request: Request, max_images: int, read_document: Callable[[bytes], JsonBody | ListBody], run: RunInThreads
) -> tuple[Sequence[SentImage], Mapping[str, object]]:
    """Return images as they were sent, and what a document says beside them."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", ""):
        message = f"content encoding {encoding[:40]!r} is not accepted; send the body as it is"
        raise RequestRefused(RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    content_type = request.headers.get("content-type", "")
    # Not `request.body()`, which keeps it for as long as there is the request.
    body = b"".join([chunk async for chunk in request.stream()])
    form = tell_form(content_type, body)
    if form is Form.RAW:
        return [body], {}
    if form is Form.MULTIPART and len(body) <= MAX_INLINE_BYTES:
        return read_multipart(content_type, body, max_images), {}
    if form is Form.MULTIPART:
        [files] = await run([partial(read_multipart, content_type, body, max_images)])
        return files, {}
    [(images, options)] = await run([partial(read_document, body)])
    return images, options


def image_bytes(encoded: bytes | str, index: int) -> bytes:
    """Return the file of an image as `read_sent` gives it. Raises RequestRefused for text that is not base64."""
    return decode_base64(encoded, index) if isinstance(encoded, str) else encoded


@contextmanager
def refusing_image(index: int) -> Iterator[None]:
    """Say of an image that cannot be read that it is the one at this place of its request: raises RequestRefused."""
    try:
        yield
    except (ImageError, ViewError) as exc:
        raise RequestRefused(exc.code, str(exc), index) from exc


class Reader:
    """Brings one request's images to the model's input, several at a time, and counts their tiles together."""

    def __init__(self, contract: ModelContract, settings: ServingSettings, parts: Parts) -> None:
        """parts: what of each image is looked at."""
        self._contract, self._settings, self._parts = contract, settings, parts
        self._num_tiles, self._lock = 0, threading.Lock()

    def __call__(self, encoded: bytes | str, index: int) -> tuple[ImageArray, list[Placement], bytes]:
        """Return pixels, a row each tile, with the places of these and the encoded image. Raises RequestRefused."""
        data = image_bytes(encoded, index)
        with refusing_image(index):
            if isinstance(self._contract, SegmentationContract):
                return *self._read_tiles(data, self._contract), data
            pixels, place = read_placed(data, self._contract, self._settings.max_pixels)
            return pixels[None], [place], data

    def _read_tiles(self, data: bytes, contract: SegmentationContract) -> tuple[ImageArray, list[Placement]]:
        most, (tiles, roi) = self._settings.max_tiles_per_request, self._parts
        read = read_tiles(data, contract, tiles, roi, self._settings.max_pixels, most, self._count)
        places = [place for _, place in read]
        return read[0][0][None] if len(read) == 1 else np.stack([pixels for pixels, _ in read]), places

    def _count(self, num_tiles: int) -> None:
        if self._parts.tiles is None:
            return
        with self._lock:
            self._num_tiles += num_tiles
            if self._num_tiles > (most := self._settings.max_tiles_per_request):
                message = (
                    f"with its {num_tiles} tiles the images of the request have {self._num_tiles} together, more than "
                    f"{most}: send fewer images at a time, or use larger tiles"
                )
                raise ViewError(ViewErrorCode.TOO_MANY_TILES, message)
