"""Why a request is not answered with predictions: the one error that says it, from the batcher to the filters.

`runtime/serving/request_batching.py` notes it and `runtime/serving/error_bodies.py` writes it as an HTTP answer.
"""

from enum import StrEnum
from http import HTTPStatus

from runtime.model.errors import ImageErrorCode


class RequestErrorCode(StrEnum):
    """What can be wrong with a request as a whole; stable, clients may switch on them."""

    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    MALFORMED = "malformed_request"
    UNKNOWN_FIELD = "unknown_field"
    NO_IMAGE = "no_image"
    NOT_A_FILE = "not_a_file"
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
    CORS_REFUSED = "cors_refused"


STATUS: dict[RequestErrorCode | ImageErrorCode, HTTPStatus] = {
    RequestErrorCode.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RequestErrorCode.MALFORMED: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.UNKNOWN_FIELD: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.NO_IMAGE: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.NOT_A_FILE: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.BAD_BASE64: HTTPStatus.BAD_REQUEST,
    RequestErrorCode.TOO_MANY_IMAGES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RequestErrorCode.BODY_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    RequestErrorCode.BODY_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    RequestErrorCode.HEADER_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    RequestErrorCode.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
    RequestErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    RequestErrorCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    # No 5xx: the picture is what brings it about, and to send it again does not help.
    RequestErrorCode.MODEL_OUTPUT_INVALID: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequestErrorCode.FILTER_FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,  # the fault of whoever runs the service
    RequestErrorCode.FILTERS_HANG: HTTPStatus.SERVICE_UNAVAILABLE,
    RequestErrorCode.CORS_REFUSED: HTTPStatus.FORBIDDEN,
    ImageErrorCode.EMPTY: HTTPStatus.BAD_REQUEST,
    ImageErrorCode.UNSUPPORTED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ImageErrorCode.CORRUPT: HTTPStatus.BAD_REQUEST,
    ImageErrorCode.TOO_MANY_PIXELS: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


class RequestRefused(Exception):  # noqa: N818 - what is said to a client, whoever finds it out
    """A request that gets an error instead of predictions: everything that is said to its client.

    code: stable, decides the HTTP status. message: for people. index: place of the image at fault in its request,
    from 0, with which the text then begins. retry_after_s: whole seconds after which the same request may succeed.
    """

    def __init__(
        self,
        code: RequestErrorCode | ImageErrorCode,
        message: str,
        index: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message if index is None else f"image {index}: {message}")
        self.code = code
        self.index = index
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> HTTPStatus:
        return STATUS[self.code]
