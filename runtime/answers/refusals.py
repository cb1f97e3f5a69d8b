"""Why a request is not answered with predictions: the one error that says it, from the batcher to the filters.

`runtime/serving/request_batching.py` notes it and `runtime/serving/error_bodies.py` writes it as an HTTP answer.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Self

from runtime.model.errors import ImageErrorCode, ViewErrorCode


class RequestErrorCode(StrEnum):
    """What can be wrong with a request as a whole; stable, clients may switch on them."""

    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    MALFORMED = "malformed_request"
    UNKNOWN_FIELD = "unknown_field"
    NO_IMAGE = "no_image"
    NOT_A_FILE = "not_a_file"
    NOT_ACCEPTABLE = "not_acceptable"
    BAD_BASE64 = "bad_base64"
    TOO_MANY_IMAGES = "too_many_images"
    BODY_TOO_LARGE = "body_too_large"
    BODY_TIMEOUT = "body_timeout"
    HEADER_TIMEOUT = "header_timeout"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "inference_unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    MODEL_OUTPUT_INVALID = "model_output_invalid"
    FILTER_FAILED = "filter_failed"
    FILTERS_HANG = "filters_hang"
    SHUTTING_DOWN = "shutting_down"
    CORS_REFUSED = "cors_refused"


_Code = RequestErrorCode
AnyCode = RequestErrorCode | ImageErrorCode | ViewErrorCode
_CODES: dict[HTTPStatus, tuple[AnyCode, ...]] = {
    HTTPStatus.BAD_REQUEST: (
        *(_Code.MALFORMED, _Code.UNKNOWN_FIELD, _Code.NO_IMAGE, _Code.NOT_A_FILE, _Code.BAD_BASE64),
        *(ImageErrorCode.EMPTY, ImageErrorCode.CORRUPT, ViewErrorCode.ROI_OUTSIDE),
    ),
    HTTPStatus.FORBIDDEN: (_Code.CORS_REFUSED,),
    HTTPStatus.NOT_ACCEPTABLE: (_Code.NOT_ACCEPTABLE,),
    HTTPStatus.REQUEST_TIMEOUT: (_Code.BODY_TIMEOUT, _Code.HEADER_TIMEOUT),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        *(_Code.TOO_MANY_IMAGES, _Code.BODY_TOO_LARGE),
        *(ImageErrorCode.TOO_MANY_PIXELS, ViewErrorCode.TOO_MANY_TILES),
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (_Code.UNSUPPORTED_MEDIA_TYPE, ImageErrorCode.UNSUPPORTED),
    # No 5xx: the picture is what brings it about, and to send it again does not help.
    HTTPStatus.UNPROCESSABLE_ENTITY: (_Code.MODEL_OUTPUT_INVALID,),
    HTTPStatus.INTERNAL_SERVER_ERROR: (_Code.FILTER_FAILED,),  # the fault of whoever runs the service
    HTTPStatus.SERVICE_UNAVAILABLE: (_Code.OVERLOADED, _Code.UNAVAILABLE, _Code.FILTERS_HANG, _Code.SHUTTING_DOWN),
    HTTPStatus.GATEWAY_TIMEOUT: (_Code.DEADLINE_EXCEEDED,),
}
STATUS = {code: status for status, codes in _CODES.items() for code in codes}


class RequestRefused(Exception):  # noqa: N818 - what is said to a client, whoever finds it out
    """A request that gets an error instead of predictions: everything that is said to its client.

    code: stable, decides the HTTP status. message: for people. index: place of the image at fault in its request,
    from 0, with which the text then begins. retry_after_s: whole seconds after which the same request may succeed.
    """

    def __init__(
        self,
        code: AnyCode,
        message: str,
        index: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message if index is None else f"image {index}: {message}")
        self._message = message
        self.code = code
        self.index = index
        self.retry_after_s = retry_after_s

    def at(self, index: int) -> Self:
        """Return the refusal as that of the image at this place of its request."""
        return type(self)(self.code, self._message, index, self.retry_after_s)

    @property
    def status(self) -> HTTPStatus:
        return STATUS[self.code]
