"""The OpenAPI document of the service: every form that is taken, every answer and every error.

BentoML derives a document from Python signatures, which know one form and none of our errors. This one starts from
BentoML's (title, version, health endpoints) and states the others itself (`endpoints.py`), those that there are.
It is served as `/docs.json`, shown at `/` and packed into the Bento as `apis/openapi.yaml`.

It is written for those who generate clients from it. OpenAPI Generator takes the parameters of a body from the first
media type of an operation, but sends JSON where any of them is JSON; so JSON has a path of its own, which leads to the
same endpoint. A body without a name gets one that may clash with others, and `oneOf` is beyond several generators.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from runtime.answers.refusals import STATUS, AnyCode, FetchErrorCode, JobErrorCode, RequestErrorCode
from runtime.model.errors import ViewErrorCode
from runtime.serving.intake.body_forms import FILES_FIELD, JSON, MULTIPART, ONE_FIELD
from runtime.serving.intake.image_list import BASE64, LIST_FIELD, URL
from runtime.serving.intake.query_schema import query_parameters
from runtime.serving.intake.wanted_answer import PNG
from runtime.serving.jobs.image_work import TASKS as JOB_TASKS
from runtime.serving.openapi.bodies import (
    LISTED,
    SCHEMAS,
    headers_of,
    image_files,
    json_body,
    listed_image,
    ref,
)
from runtime.serving.openapi.endpoints import ENDPOINTS, EXAMPLE_PICTURE, LINE_SCHEMA, LINES_EXAMPLE, Endpoint
from runtime.serving.openapi.errors import error_schemas, errors_of
from runtime.serving.openapi.job_paths import job_paths, job_schemas
from runtime.serving.pipeline.lines import JSON_LINES

Json = dict[str, Any]

OPENAPI_VERSION = "3.0.3"
RAW_MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff")
_REQUEST_ID_PATTERN = "^[A-Za-z0-9._-]{1,128}$"
REQUEST_ID: Json = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "Comes back with the answer; one that does not fit the pattern is replaced.",
    "schema": {"type": "string", "pattern": _REQUEST_ID_PATTERN},
}
_CARD = "The model card, with what was measured and where the model fails, is the Bento's README.md."
LINE = "DetectBatchLine"
BASE64_PATH = "/base64"  # behind that of the endpoint
_PICTURES = (
    f"A request with one image that prefers {PNG} in Accept gets the index mask at the image's own size: 0 is "
    "background, i + 1 the region with class_id i."
)
_ORDER = {
    False: "The answer is a list in the order sent, with one item where one image was sent.",
    True: "The answer is a stream of lines, one for each image as soon as it is done.",
}
# Said of one image of a list, or of a job, and never of a request to these paths.
_OF_ITEMS: frozenset[AnyCode] = frozenset({*FetchErrorCode, *JobErrorCode})
_SEGMENT_ALONE: frozenset[AnyCode] = frozenset({RequestErrorCode.NOT_ACCEPTABLE, *ViewErrorCode})


class OpenAPIDocument(yaml.YAMLObject):
    """A document in the shape in which BentoML asks for one: `asdict()` for JSON, and dumped by `yaml.dump`."""

    yaml_tag = "!openapi"  # without one PyYAML does not call `to_yaml`; what is written carries no tag
    yaml_loader: list[type[yaml.Loader]] = []  # noqa: RUF012  # PyYAML declares it so; ours is never read back

    def __init__(self, content: Json) -> None:
        self.content = content

    def asdict(self) -> Json:
        return self.content

    @classmethod
    def to_yaml(cls, dumper: yaml.Dumper, data: "OpenAPIDocument") -> yaml.Node:
        dumper.sort_keys = False  # the first media type counts
        return dumper.represent_dict(data.content)


def describe(derived: Json, apis: Mapping[str, str], has_jobs: bool = False) -> OpenAPIDocument:
    """Complete the document that BentoML derived.

    derived: BentoML's own document. apis: names of the endpoints that there are, by route. has_jobs: whether jobs are.
    """
    endpoints = {route: ENDPOINTS[api] for route, api in apis.items()}
    components: Json = {}
    for endpoint in endpoints.values():
        schema = endpoint.item.model_json_schema(ref_template=SCHEMAS + "{model}", mode="serialization")
        components.update({name: _as_openapi(part) for name, part in schema.pop("$defs").items()})
        components[endpoint.item.__name__] = _as_openapi(schema)
    bodies = {endpoint.json_body: json_body(endpoint) for endpoint in endpoints.values()}
    components.update({"ImageFiles": image_files(), **bodies, **error_schemas()})
    if any(endpoint.streams for endpoint in endpoints.values()):
        components.update({LINE: LINE_SCHEMA, LISTED: listed_image()})
    # The contact is that of BentoML's makers, and the description the whole model card.
    does = " ".join(endpoint.does for endpoint in endpoints.values() if endpoint.does)
    info = {**derived["info"], "description": f"{does} {_CARD}"}
    info.pop("contact", None)
    paths = dict(derived["paths"])
    for route, endpoint in endpoints.items():
        tags, name = paths[route]["post"]["tags"], route.removeprefix("/")
        operations = (route, _files_operation(name, endpoint)), (route + BASE64_PATH, _base64_operation(name, endpoint))
        paths.update({path: {"post": {**operation, "tags": tags}} for path, operation in operations})
    if has_jobs:
        tasks = [name for name in apis.values() if name in JOB_TASKS]
        paths.update(job_paths([REQUEST_ID], tags))
        components.update({LISTED: listed_image(), **job_schemas(tasks)})
    document = {**derived, "openapi": OPENAPI_VERSION, "info": info, "paths": paths}
    document["components"] = {"schemas": components}
    return OpenAPIDocument(json.loads(json.dumps(document)))  # copies: YAML would write anchors for shared parts


def _files_operation(name: str, endpoint: Endpoint) -> Json:
    raw: Json = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in RAW_MEDIA_TYPES}
    # Without it some generators write a list of files as one text.
    encoding = {FILES_FIELD: {"style": "form", "explode": True}}
    files = {MULTIPART: {"schema": ref("ImageFiles"), "encoding": encoding}}
    return {
        **_operation(name, endpoint),
        "operationId": name,
        "summary": f"{endpoint.summary}.",
        "description": f"{_ORDER[endpoint.streams]} Formats (JPEG, PNG, WebP, BMP, TIFF) are told by content, never by "
        "file name or media type.",
        "requestBody": {"required": True, "content": {**files, **raw}},
    }


def _base64_operation(name: str, endpoint: Endpoint) -> Json:
    example: Json = {ONE_FIELD: EXAMPLE_PICTURE}
    if endpoint.streams:
        example = {LIST_FIELD: [{BASE64: EXAMPLE_PICTURE}, {URL: "https://images.example.org/tile.jpg"}]}
    return {
        **_operation(name, endpoint),
        "operationId": f"{name}_base64",
        "summary": f"{endpoint.summary} in base64.",
        "description": "One of the fields for images is given. This path is another name of the one above, which "
        "takes the same bodies; it is there for generated clients.",
        "requestBody": {"required": True, "content": {JSON: {"schema": ref(endpoint.json_body), "example": example}}},
    }


def _operation(name: str, endpoint: Endpoint) -> Json:
    """Return what both paths of the endpoint have in common."""
    return {
        "x-bentoml-name": name,
        "parameters": [REQUEST_ID, *(query_parameters() if endpoint.answers_pictures else [])],
        "responses": {"200": _answer(endpoint), **errors_of(_codes(endpoint))},
    }


def _answer(endpoint: Endpoint) -> Json:
    if endpoint.streams:
        return _streamed_answer(endpoint)
    content: Json = {JSON: {"schema": {"type": "array", "items": ref(endpoint.item.__name__)}}}
    if endpoint.example:
        content[JSON]["example"] = [endpoint.example]
    description = f"One {endpoint.item.__name__.lower()} for each image, in the order sent."
    if endpoint.answers_pictures:
        content[PNG] = {"schema": {"type": "string", "format": "binary"}}
        description += f" {_PICTURES}"
    timing = {"Server-Timing": f"milliseconds of each step: {endpoint.stages}"}
    return {"description": description, "headers": headers_of(timing), "content": content}


def _streamed_answer(endpoint: Endpoint) -> Json:
    # A string, as generators read it; what a line is stands beside it, under the name that OpenAPI 3.2 has for it.
    lines: Json = {"schema": {"type": "string"}, "x-itemSchema": ref(LINE), "example": LINES_EXAMPLE}
    timing = {"Server-Timing": f"milliseconds of each step: {endpoint.stages}"}
    description = f"One line of JSON for each image, a {LINE}, in the order in which they are done."
    return {"description": description, "headers": headers_of(timing), "content": {JSON_LINES: lines}}


def _codes(endpoint: Endpoint) -> list[AnyCode]:
    """Return the codes that a request to the endpoint can be refused with."""
    left_out = _OF_ITEMS if endpoint.answers_pictures else _OF_ITEMS | _SEGMENT_ALONE
    return [code for code in STATUS if code not in left_out]


def _as_openapi(schema: Any) -> Any:
    """Write a JSON Schema as OpenAPI 3.0 has it.

    Numbers are double precision: without it the client in Go reads float32, that in C# decimals. Tuples, of items of
    one type, are arrays, and a bound that is not reached is a bound with a word beside it.
    """
    if isinstance(schema, list):
        return [_as_openapi(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    read = {name: _as_openapi(value) for name, value in schema.items()}
    if read.get("type") == "number":
        read["format"] = "double"
    if isinstance(items := read.pop("prefixItems", None), list):
        read["items"] = items[0]
    if isinstance(bound := read.get("exclusiveMinimum"), int | float):
        read.update({"minimum": bound, "exclusiveMinimum": True})
    return read
