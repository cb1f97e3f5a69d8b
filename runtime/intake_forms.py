"""The four forms of a request: each reader returns the encoded images that a body carries, or says what is wrong.

Nothing is fetched: an address where an image should be is a refusal. Bodies are held in memory, never on disk; how
large they may be is `runtime/body_limit.py`'s matter.
"""

import base64
import binascii

from pydantic_core import from_json
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from runtime.refusals import RequestErrorCode, RequestRefused

FILES_FIELD, ONE_FIELD, MANY_FIELD = "images", "image_b64", "images_b64"
MULTIPART, JSON, IMAGE_PREFIX = "multipart/form-data", "application/json", "image/"
SHOWN_CHARACTERS = 100  # of a client's own words in a message
# Python knows a hundred more: some raise what the form's parser does not expect, and punycode takes minutes of the
# event loop for a megabyte. RFC 7578 (section 5.1.2) knows no such parameter, but some clients name one of these.
_FORM_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"})


class _InMemoryParser(MultiPartParser):
    """Starlette's parser, which moves files above 1 MB to disk in between; the body's limit already bounds them."""

    spool_max_size = 0  # SpooledTemporaryFile's word for "never roll over to disk"


async def read_multipart(request: Request, max_images: int) -> list[bytes]:
    """Read the files of the field `images`. Raises RequestRefused."""
    _check_charset(request.headers.get("content-type", ""))
    # One field more than allowed may come, so that text in the wrong place is named as such.
    parser = _InMemoryParser(request.headers, request.stream(), max_files=max_images, max_fields=max_images + 1)
    try:
        form = await parser.parse()
    except MultiPartException as exc:
        if "Too many files" in exc.message:
            raise too_many_images(max_images) from exc
        raise RequestRefused(RequestErrorCode.MALFORMED, f"cannot read the form: {_shown(exc.message)}") from exc
    _check_fields(set(form), {FILES_FIELD})
    uploads = form.getlist(FILES_FIELD)
    if not uploads:
        message = f"the field '{FILES_FIELD}' is missing; send one or more files in it"
        raise RequestRefused(RequestErrorCode.NO_IMAGE, message)
    return [await _read_file(upload, index) for index, upload in enumerate(uploads)]


def _check_charset(content_type: str) -> None:
    if "charset" not in content_type.lower():  # nearly every request
        return
    charset = parse_options_header(content_type)[1].get(b"charset", b"utf-8").decode("latin-1")
    if charset.lower() not in _FORM_CHARSETS:
        message = f"the form's charset {_shown(charset)!r} is not accepted; leave it out or send utf-8"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)


async def _read_file(upload: UploadFile | str, index: int) -> bytes:
    if isinstance(upload, str):
        message = (
            f"image {index}: the field '{FILES_FIELD}' holds text; send the file itself, addresses are not fetched"
        )
        raise RequestRefused(RequestErrorCode.NOT_A_FILE, message, index)
    try:
        return await upload.read()
    finally:
        await upload.close()


def read_json(body: bytes, max_images: int) -> list[str]:
    """Read `{"image_b64": ...}` or `{"images_b64": [...]}`; the texts are not yet decoded. Raises RequestRefused."""
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError as exc:
        raise RequestRefused(RequestErrorCode.MALFORMED, f"the body is not valid JSON: {_shown(str(exc))}") from exc
    if not isinstance(document, dict):
        found = type(document).__name__
        raise RequestRefused(RequestErrorCode.MALFORMED, f"the body must be a JSON object, got {found}")
    _check_fields(set(document), {ONE_FIELD, MANY_FIELD})
    if len(document) != 1:
        code = RequestErrorCode.MALFORMED if document else RequestErrorCode.NO_IMAGE
        raise RequestRefused(code, f"expected one of the fields '{ONE_FIELD}' and '{MANY_FIELD}', got {len(document)}")
    texts = document[MANY_FIELD] if MANY_FIELD in document else [document[ONE_FIELD]]
    if not isinstance(texts, list):
        raise RequestRefused(RequestErrorCode.MALFORMED, f"'{MANY_FIELD}' must be a list of strings")
    if not texts:
        raise RequestRefused(RequestErrorCode.NO_IMAGE, f"'{MANY_FIELD}' is empty; send one or more images in it")
    if len(texts) > max_images:
        raise too_many_images(max_images)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            found = type(text).__name__
            raise RequestRefused(RequestErrorCode.MALFORMED, f"image {index}: expected a string, got {found}", index)
    return texts


def decode_base64(text: str, index: int) -> bytes:
    """Decode standard base64 with padding and without line breaks (RFC 4648, section 4), bare or as a `data:` URI.

    The media type of a `data:` URI plays no part. Raises RequestRefused.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            message = f"image {index}: a data: URI must end its head in ';base64,'"
            raise RequestRefused(RequestErrorCode.BAD_BASE64, message, index)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:  # the latter for what is not ASCII
        message = f"image {index}: not base64 of the standard alphabet with padding ({exc}); addresses are not fetched"
        raise RequestRefused(RequestErrorCode.BAD_BASE64, message, index) from exc


async def read_raw(request: Request) -> list[bytes]:
    """Read a body that is one encoded image."""
    return [await request.body()]


def too_many_images(max_images: int) -> RequestRefused:
    message = f"at most {max_images} images are accepted in one request"
    return RequestRefused(RequestErrorCode.TOO_MANY_IMAGES, message)


def _check_fields(found: set[str], known: set[str]) -> None:
    if unknown := sorted(found - known):
        message = f"unknown field(s) {_shown(', '.join(unknown))}; known: {', '.join(sorted(known))}"
        raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
