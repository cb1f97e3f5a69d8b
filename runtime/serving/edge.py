"""What stands around BentoML's own server: limits of the body, our errors and our OpenAPI document."""

from collections.abc import Callable, Collection, Coroutine
from functools import cached_property, partial
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import bentoml
from _bentoml_sdk import Service
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.answers.classification import ModelIdentity
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.model.devices import num_inference_workers, visible_cuda_devices
from runtime.serving.bentoml_app import BatchCallback, BoundedPaths, leave_out_idle_tracing, replace_dispatchers
from runtime.serving.connections.body_limit import BodyLimitMiddleware
from runtime.serving.connections.cors import cors_around
from runtime.serving.connections.header_timeout import bound_headers
from runtime.serving.docs_page import replace_docs_page
from runtime.serving.error_bodies import ErrorBodyMiddleware
from runtime.serving.fronts.inference_worker import InferenceService
from runtime.serving.handlers import APIS, Handlers
from runtime.serving.jobs.endpoints import JobPaths
from runtime.serving.jobs.jobs import Jobs
from runtime.serving.label_studio.backend import LabelStudioBackend
from runtime.serving.label_studio.pictures import LabelStudioPictures
from runtime.serving.model_reference import ModelUnavailable, VisionModel, find_models
from runtime.serving.openapi.document import BASE64_PATH, OpenAPIDocument, describe
from runtime.serving.page.inspection_page import add_page
from runtime.serving.prometheus.metrics_folder import use_metrics_folder
from runtime.serving.request_record import RequestRecordMiddleware, current_record
from runtime.serving.settings import ServingSettings, SettingsError
from runtime.serving.shutdown.drain import Drain, DrainMiddleware


class ImageFiles(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """Multipart form with one or more image files (JPEG, PNG, WebP, BMP or TIFF) in the field `images`."""

    images: list[Path]

    @classmethod
    async def from_http_request(cls, request: Request, _serde: object) -> Self:
        """Hand the request on unread, to `RequestHandler.answer`, where clients and OpenAPI see files."""
        # BentoML reads names and values of it. A pydantic model that is not validated costs more.
        return cast(Self, SimpleNamespace(images=request, model_fields=("images",)))


class AdmissionMiddleware:
    """Pure ASGI: refuses requests that could not be served before BentoML sees them, since no must cost little.

    What BentoML does around a request costs more than half a millisecond: a server that gets twice the requests it can
    serve would spend a fifth of its cores on saying no. BentoML's own request metrics do not count what is refused
    here; `vision_refusals_total` does. `ErrorBodyMiddleware`, around it, writes the answer.

    routes: the paths that are guarded; requests to them by POST. is_refused: asked at each, with its path; notes the
    reason itself.
    """

    def __init__(self, app: ASGIApp, routes: Collection[str], is_refused: Callable[[str], bool]) -> None:
        self.app = app
        self._routes = routes
        self._is_refused = is_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_guarded = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._routes
        is_refused = is_guarded and self._is_refused(scope["path"])
        answer = Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE) if is_refused else self.app
        await answer(scope, receive, send)


class EdgeService(Service):  # type: ignore[misc]  # BentoML's SDK package carries no types
    """A BentoML service whose errors all have one form: `@bentoml.service(service_class=EdgeService)`.

    Its APIs are batchable, take `ImageFiles` and are called as `APIS` says; those without a model are left out. Its
    class names the `card_path` that a Bento gets, and its instance has `handlers` that answer the APIs' requests.
    """

    @cached_property
    def declared_apis(self) -> dict[str, Any]:
        """All APIs that the class declares, with a model or without."""
        return dict(self.apis)

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
        """Tell BentoML which models and APIs there are, and to start as many processes as there are fronts.

        BentoML calls it before it builds, serves or makes an application. Raises ModelUnavailable.
        """
        settings = _read_settings()
        self.found = found = find_models(self.bento)
        self.models = [VisionModel(str(model.tag), self.inner.card_path) for model in found.values()]
        declared = self.declared_apis
        self.apis = {api: declared[api] for api, role in APIS.items() if role in found}
        if settings.front_workers:
            self.config["workers"] = settings.front_workers
        super().inject_config()

    @property
    def openapi_spec(self) -> OpenAPIDocument:
        routes = {method.route: name for name, method in self.apis.items()}
        return describe(super().openapi_spec.asdict(), routes, has_jobs=_read_settings().jobs_dir is not None)

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Wrap the whole application: a middleware that BentoML adds itself stands inside its timeout and limits.

        Raises SettingsError if the environment cannot be used.
        """
        settings = ServingSettings.read()
        self.drain = Drain(settings.drain_grace_s, settings.drain_timeout_s)
        use_metrics_folder()
        bentoml_app = super().to_asgi(is_main)
        replace_docs_page(bentoml_app, links_to_page=settings.ui)
        if settings.ui:
            add_page(bentoml_app, self.found, list(self.apis), settings)
        routes = [method.route for method in self.apis.values()]
        replace_dispatchers(bentoml_app, {name: partial(_dispatch_by_service, name) for name in self.apis})
        admitted = AdmissionMiddleware(bentoml_app, routes, partial(_is_refused_by_service, self.drain))
        leave_out_idle_tracing(bentoml_app)
        _leave_out_timeout(bentoml_app)
        bounded = BoundedPaths(admitted, bentoml_app, {route + BASE64_PATH: route for route in routes})
        inner: ASGIApp = bounded
        if settings.jobs_dir:
            inner = JobPaths(bounded, _jobs, _note_refusal, self.drain.refuse_after_grace)
        cors = cors_around(inner, bentoml_app, settings.cors_origins, _note_refusal)
        bound_headers(settings.header_timeout_s, _count_early_refusal, cors.early_headers if cors else None)
        answered = ErrorBodyMiddleware(_with_label_studio(cors or inner, bounded, settings))
        # The limit is outside the error bodies: it holds their end back until the client has read them.
        limited = BodyLimitMiddleware(
            DrainMiddleware(answered, self.drain),
            settings.max_body_bytes,
            settings.body_timeout_s,
            settings.max_inflight_bytes,
        )
        return RequestRecordMiddleware(limited)


def _with_label_studio(app: ASGIApp, asked: ASGIApp, settings: ServingSettings) -> ASGIApp:
    """Stand Label Studio's backend around `app`, if there is a Label Studio. asked: is asked about each picture."""
    if not settings.label_studio_url:
        return app
    token = settings.label_studio_token.get_secret_value()
    pictures = LabelStudioPictures(settings.label_studio_url, token, settings.max_body_bytes)
    own = RequestRecordMiddleware(ErrorBodyMiddleware(asked))
    return LabelStudioBackend(app, own, pictures, _identities_by_api, settings.max_batch_uploads)


def _identities_by_api() -> dict[str, ModelIdentity]:
    return {api: endpoint.served.identity for api, endpoint in _handlers().by_api.items()}


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


def _handlers() -> Handlers:
    """Return the service's own: the application is built before the service is."""
    handlers: Handlers = bentoml.get_current_service().handlers
    return handlers


def _jobs() -> Jobs:
    jobs = _handlers().jobs
    assert jobs is not None  # the settings that make the paths make them, too
    return jobs


def _dispatch_by_service(api: str, compute: BatchCallback) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    return partial(_handlers().by_api[api].answer, compute=compute)


def _is_refused_by_service(drain: Drain, path: str) -> bool:
    handler = _handlers().of_path(path)
    if drain.is_refusing:
        handler.note(current_record(), drain.refusal())
        return True
    return handler.refuses_now()


def _note_refusal(scope: Scope, refusal: RequestRefused) -> None:
    _handlers().of_path(scope["path"]).note(current_record(), refusal)


def _count_early_refusal(code: str) -> None:
    """Count what is refused before its path is known."""
    if code in list(RequestErrorCode):
        _handlers().of_path("").metrics.refused(code)
