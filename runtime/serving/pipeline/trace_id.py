"""Which trace a request belongs to, as its answer names it."""

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import Request

from runtime.serving.error_bodies import current_request_id


def trace_id_of(request: Request) -> str:
    """Return the trace id of a request, 32 hexadecimal digits, or its request id if it belongs to no trace.

    It is that of the span that BentoML's tracing has opened, if an exporter is set up, else that of the request's
    header `traceparent` (https://www.w3.org/TR/trace-context/).
    """
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        caller = TraceContextTextMapPropagator().extract(request.headers)
        span = trace.get_current_span(caller).get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else current_request_id(request.scope)
