"""What a request wants of its answer: what its `Accept` and its query say, before its body is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import QueryParams
from starlette.requests import Request

from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.model.contract import Task
from runtime.serving.intake.body_forms import JSON, shown, shown_names
from runtime.serving.intake.wanted_parts import PARTS, WantedParts

PNG = "image/png"
OVERLAY = "overlay"
_SWITCH = {"1": True, "true": True, "0": False, "false": False}

Form = Literal["json", "mask", "overlay"]


@dataclass(frozen=True)
class WantedAnswer:
    """How a request is answered, and what of its pictures it is about.

    form: `json`, or of one image a picture: its index mask, or the image with its outlines. parts: of the images that
    are looked at; None where all of them always is, so that a request has no say.
    """

    form: Form = "json"
    parts: WantedParts | None = None

    def check_number(self, num_images: int) -> None:
        """Raise RequestRefused if the answer is a picture and so many images cannot be answered with one."""
        if self.form != "json" and num_images != 1:
            message = f"{PNG} answers for one image, and the request has {num_images}; send one, or accept {JSON}"
            raise RequestRefused(RequestErrorCode.NOT_ACCEPTABLE, message)


_PLAIN = WantedAnswer()


def read_wanted_answer(request: Request, task: Task) -> WantedAnswer:
    """Read what a request wants.

    Classifiers and detectors answer in JSON, whatever is accepted, and look at whole images; a classifier takes any
    query but one that asks for parts. Raises RequestRefused for a query that is not known or cannot be used, and where
    nothing that is accepted can be answered with.
    """
    query = request.query_params
    if task == "classification":
        if query and (parts := query.keys() & set(PARTS)):
            message = f"unknown query parameter(s) {shown_names(parts)}: a classifier looks at whole images"
            raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)
        return _PLAIN
    if task == "detection":
        if query:
            message = f"unknown query parameter(s) {shown_names(query.keys())}; this path has none"
            raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)
        return _PLAIN
    _check_names(query)
    form = _form(", ".join(request.headers.getlist("accept")), _read_switch(query, OVERLAY))
    return WantedAnswer(form, WantedParts.of_query(query))


def _check_names(query: QueryParams) -> None:
    if unknown := query.keys() - {OVERLAY, *PARTS}:
        message = f"unknown query parameter(s) {shown_names(unknown)}; known: {', '.join((OVERLAY, *PARTS))}"
        raise RequestRefused(RequestErrorCode.UNKNOWN_FIELD, message)
    if doubles := {name for name in query if len(query.getlist(name)) > 1}:
        message = f"the query has {shown_names(doubles)} more than once; state it once"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)


def _form(accept: str, is_overlay: bool) -> Form:
    json, png = (weight_of(accept, media_type) for media_type in (JSON, PNG))
    if is_overlay and not png:
        raise _not_acceptable(f"{OVERLAY} asks for {PNG}", accept)
    if is_overlay:
        return "overlay"
    if not json and not png:
        raise _not_acceptable(f"the answer is {JSON} or {PNG}", accept)
    return "mask" if png > json else "json"


def weight_of(accept: str, media_type: str) -> float:
    """Return how much a media type is wanted, 0 to 1, by the range that names it best: RFC 9110, section 12.5.1."""
    names = ("*/*", media_type.split("/")[0] + "/*", media_type)
    best, weight = -1, 0.0
    for entry in (accept or "*/*").lower().split(","):
        name, *parameters = (part.strip() for part in entry.split(";"))
        if name in names and names.index(name) > best:
            best, weight = names.index(name), _read_weight(parameters)
    return weight


def _read_weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0  # as if it had none
    return 1.0


def _read_switch(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name, "0")
    if value.lower() not in _SWITCH:
        message = f"the query parameter '{name}' must be 1 or 0, got {shown(value)!r}"
        raise RequestRefused(RequestErrorCode.MALFORMED, message)
    return _SWITCH[value.lower()]


def _not_acceptable(what: str, accept: str) -> RequestRefused:
    message = f"{what}, and the request accepts {shown(accept)!r}; name it in Accept, or leave Accept out"
    return RequestRefused(RequestErrorCode.NOT_ACCEPTABLE, message)
