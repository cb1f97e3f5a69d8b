"""What stands around BentoML's own server: limits of the body, our errors and our OpenAPI document."""

from collections.abc import Callable, Coroutine
from typing import Any

import bentoml
from _bentoml_sdk import Service
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from starlette.applications import Starlette
from starlette.types import ASGIApp

from runtime.bentoml_app import BatchCallback, BoundedPaths, Dispatcher, leave_out_idle_tracing, replace_dispatcher
from runtime.body_limit import BodyLimitMiddleware
from runtime.error_bodies import ErrorBodyMiddleware
from runtime.header_timeout import bound_headers
from runtime.image import ImageArray
from runtime.openapi import OpenAPIDocument, describe
from runtime.refusals import RequestErrorCode
from runtime.request_record import RequestRecordMiddleware
from runtime.settings import ServingSettings


class EdgeService(Service):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """A BentoML service with one API whose errors all have one form: `@bentoml.service(service_class=EdgeService)`."""

    @property
    def openapi_spec(self) -> OpenAPIDocument:
        [method] = self.apis.values()
        return describe(super().openapi_spec.asdict(), method.route, method.name)

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Wrap the whole application: a middleware that BentoML adds itself stands inside its timeout and limits.

        Raises SettingsError if the environment cannot be used.
        """
        settings = ServingSettings.read()
        bentoml_app = super().to_asgi(is_main)
        if settings.batching == "work-conserving":
            [method] = self.apis.values()
            replace_dispatcher(bentoml_app, method.name, _dispatch_by_service)
        bound_headers(settings.header_timeout_s, _count_header_timeout)
        leave_out_idle_tracing(bentoml_app)
        _leave_out_timeout(bentoml_app)
        answered = ErrorBodyMiddleware(BoundedPaths(bentoml_app))
        # The limit is outside the error bodies: it holds their end back until the client has read them.
        return RequestRecordMiddleware(BodyLimitMiddleware(answered, settings.max_body_bytes, settings.body_timeout_s))


def _leave_out_timeout(app: Starlette) -> None:
    """Take out BentoML's `traffic.timeout`: `VISION_BODY_TIMEOUT_S` and `VISION_DEADLINE_MS` bound every request.

    It starts a timer for each request that is never cancelled and keeps all that the request's context refers to, such
    as tracebacks with decoded images, for the whole timeout: at 100 refused requests/s hundreds of megabytes.
    """
    timeout: object = TimeoutMiddleware
    app.user_middleware = [entry for entry in app.user_middleware if entry.cls is not timeout]


def _dispatch_by_service(callback: BatchCallback) -> Callable[[ImageArray], Coroutine[None, None, Any]]:
    """Ask the service's own dispatcher: the application is built before the service is."""
    batching: Dispatcher = bentoml.get_current_service().batching
    return batching(callback)


def _count_header_timeout() -> None:
    bentoml.get_current_service().batching.metrics.refused(RequestErrorCode.HEADER_TIMEOUT.value)
