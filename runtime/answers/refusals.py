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
    WITHHELD = "withheld"
    NOT_CHECKED = "not_checked"
    SHUTTING_DOWN = "shutting_down"
    CORS_REFUSED = "cors_refused"


class FetchErrorCode(StrEnum):
    """Why the image at an address of a list could not be fetched; stable, clients may switch on them."""

    OFF = "fetch_off"
    BAD_ADDRESS = "fetch_bad_address"
    HOST_NOT_ALLOWED = "fetch_host_not_allowed"
    ADDRESS_FORBIDDEN = "fetch_address_forbidden"
    UNRESOLVED = "fetch_unresolved"
    UNREACHABLE = "fetch_unreachable"
    TLS = "fetch_tls_failed"
    STATUS = "fetch_status"
    TOO_MANY_REDIRECTS = "fetch_too_many_redirects"
    BAD_REDIRECT = "fetch_bad_redirect"
    ENCODED = "fetch_encoded"
    TOO_LARGE = "fetch_too_large"
    TIMEOUT = "fetch_timeout"
    BROKEN = "fetch_broken"


class JobErrorCode(StrEnum):
    """What can be wrong with a request about jobs, or with an image of one; stable, clients may switch on them."""

    NOT_FOUND = "job_not_found"
    KEY_REUSED = "idempotency_key_reused"
    TOO_MANY_JOBS = "too_many_jobs"
    STORE_FULL = "job_store_full"
    STORE_FAILED = "job_store_failed"
    GIVEN_UP = "job_image_given_up"


_Code, _Fetch, _Job = RequestErrorCode, FetchErrorCode, JobErrorCode
AnyCode = RequestErrorCode | ImageErrorCode | ViewErrorCode | FetchErrorCode | JobErrorCode
_CODES: dict[HTTPStatus, tuple[AnyCode, ...]] = {
    HTTPStatus.BAD_REQUEST: (
        *(_Code.MALFORMED, _Code.UNKNOWN_FIELD, _Code.NO_IMAGE, _Code.NOT_A_FILE, _Code.BAD_BASE64),
        *(ImageErrorCode.EMPTY, ImageErrorCode.CORRUPT, ViewErrorCode.ROI_OUTSIDE),
        _Fetch.BAD_ADDRESS,
    ),
    HTTPStatus.FORBIDDEN: (_Code.CORS_REFUSED, _Fetch.OFF, _Fetch.HOST_NOT_ALLOWED, _Fetch.ADDRESS_FORBIDDEN),
    HTTPStatus.NOT_FOUND: (_Job.NOT_FOUND,),
    HTTPStatus.NOT_ACCEPTABLE: (_Code.NOT_ACCEPTABLE,),
    HTTPStatus.REQUEST_TIMEOUT: (_Code.BODY_TIMEOUT, _Code.HEADER_TIMEOUT),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        *(_Code.TOO_MANY_IMAGES, _Code.BODY_TOO_LARGE),
        *(ImageErrorCode.TOO_MANY_PIXELS, ViewErrorCode.TOO_MANY_TILES),
        _Fetch.TOO_LARGE,
    ),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: (_Code.UNSUPPORTED_MEDIA_TYPE, ImageErrorCode.UNSUPPORTED, _Fetch.ENCODED),
    # No 5xx: the picture is what brings it about, and to send it again does not help.
    HTTPStatus.UNPROCESSABLE_ENTITY: (_Code.MODEL_OUTPUT_INVALID, _Code.WITHHELD, _Job.KEY_REUSED),
    HTTPStatus.INTERNAL_SERVER_ERROR: (_Code.FILTER_FAILED, _Job.GIVEN_UP),  # the fault of whoever runs the service
    HTTPStatus.BAD_GATEWAY: (
        *(_Fetch.UNRESOLVED, _Fetch.UNREACHABLE, _Fetch.TLS, _Fetch.STATUS, _Fetch.TOO_MANY_REDIRECTS),
        *(_Fetch.BAD_REDIRECT, _Fetch.BROKEN),
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        *(_Code.OVERLOADED, _Code.UNAVAILABLE, _Code.FILTERS_HANG, _Code.NOT_CHECKED),
        _Code.SHUTTING_DOWN,
        *(_Job.TOO_MANY_JOBS, _Job.STORE_FAILED),
    ),
    HTTPStatus.INSUFFICIENT_STORAGE: (_Job.STORE_FULL,),
    HTTPStatus.GATEWAY_TIMEOUT: (_Code.DEADLINE_EXCEEDED, _Fetch.TIMEOUT),
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
