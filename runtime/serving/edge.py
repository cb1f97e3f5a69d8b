"""What stands around BentoML's own server: limits of the body, our errors and our OpenAPI document."""

from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any

import bentoml
from _bentoml_sdk import Service
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from starlette.applications import Starlette
from starlette.types import ASGIApp, Scope

from runtime.model.devices import num_inference_workers, visible_cuda_devices
from runtime.model.image import ImageArray
from runtime.serving.admission import AdmissionMiddleware
from runtime.serving.bentoml_app import (
    BatchCallback,
    BoundedPaths,
    Dispatcher,
    leave_out_idle_tracing,
    replace_dispatcher,
)
from runtime.serving.connections.body_limit import BodyLimitMiddleware
from runtime.serving.connections.cors import cors_around
from runtime.serving.connections.header_timeout import bound_headers
from runtime.serving.docs_page import replace_docs_page
from runtime.serving.error_bodies import ErrorBodyMiddleware
from runtime.serving.fronts.inference_worker import InferenceService
from runtime.serving.model_reference import ModelUnavailable
from runtime.serving.openapi import BASE64_PATH, OpenAPIDocument, describe
from runtime.serving.prometheus.metrics_folder import use_metrics_folder
from runtime.serving.refusals import RequestErrorCode, RequestRefused
from runtime.serving.request_record import RequestRecordMiddleware, current_record
from runtime.serving.settings import ServingSettings, SettingsError


class EdgeService(Service):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """A BentoML service with one API whose errors all have one form: `@bentoml.service(service_class=EdgeService)`."""

    @cached_property
    def inference_services(self) -> list[InferenceService]:
        """The services that compute, one a GPU, if there are fronts. Raises ModelUnavailable for a bad setting."""
        settings = _read_settings()
        num_workers = num_inference_workers(settings.device, visible_cuda_devices()) if settings.front_workers else 0
        return [InferenceService(index) for index in range(num_workers)]

    def all_services(self, exclude_urls: bool = False) -> dict[str, Service]:
        """What BentoML starts: this service, and those that compute for it."""
        own: dict[str, Service] = super().all_services(exclude_urls)
        return own | {service.name: service for service in self.inference_services}

    def on_load_bento(self, bento: bentoml.Bento) -> None:
        """Take the Bento; its manifest does not name the services that a setting adds when it is served."""
        self.bento = bento
        for service in self.inference_services:
            service.bento = bento

    def inject_config(self) -> None:
        """Have BentoML start as many processes as there are fronts."""
        if num_fronts := _read_settings().front_workers:
            self.config["workers"] = num_fronts
        super().inject_config()

    @property
    def openapi_spec(self) -> OpenAPIDocument:
        [method] = self.apis.values()
        return describe(super().openapi_spec.asdict(), method.route, method.name)

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Wrap the whole application: a middleware that BentoML adds itself stands inside its timeout and limits.

        Raises SettingsError if the environment cannot be used.
        """
        settings = ServingSettings.read()
        use_metrics_folder()
        bentoml_app = super().to_asgi(is_main)
        replace_docs_page(bentoml_app)
        [method] = self.apis.values()
        admitted: ASGIApp = bentoml_app
        if settings.batching == "work-conserving":
            replace_dispatcher(bentoml_app, method.name, _dispatch_by_service)
            admitted = AdmissionMiddleware(admitted, method.route, _is_refused_by_service)
        leave_out_idle_tracing(bentoml_app)
        _leave_out_timeout(bentoml_app)
        bounded = BoundedPaths(admitted, bentoml_app, {method.route + BASE64_PATH: method.route})
        cors = cors_around(bounded, bentoml_app, settings.cors_origins, _note_refusal)
        bound_headers(settings.header_timeout_s, _count_early_refusal, cors.early_headers if cors else None)
        answered = ErrorBodyMiddleware(cors or bounded)
        # The limit is outside the error bodies: it holds their end back until the client has read them.
        limited = BodyLimitMiddleware(
            answered, settings.max_body_bytes, settings.body_timeout_s, settings.max_inflight_bytes
        )
        return RequestRecordMiddleware(limited)


def _read_settings() -> ServingSettings:
    try:
        return ServingSettings.read()
    except SettingsError as exc:
        raise ModelUnavailable(f"cannot serve: {exc}") from exc


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


def _is_refused_by_service() -> bool:
    is_refused: bool = bentoml.get_current_service().batching.refuses_now()
    return is_refused


def _note_refusal(scope: Scope, refusal: RequestRefused) -> None:  # noqa: ARG001 - the record has it
    bentoml.get_current_service().batching.note(current_record(), refusal)


def _count_early_refusal(code: str) -> None:
    if code in list(RequestErrorCode):
        bentoml.get_current_service().batching.metrics.refused(code)
