"""The bodies of requests in the OpenAPI document, and what schemas are made of."""

from collections.abc import Mapping
from typing import Any

from runtime.serving.fetching.fetcher import MAX_ADDRESS
from runtime.serving.intake.body_forms import FILES_FIELD, MANY_FIELD, ONE_FIELD
from runtime.serving.intake.image_list import BASE64, LIST_FIELD, URL
from runtime.serving.intake.query_schema import json_fields
from runtime.serving.openapi.endpoints import Endpoint

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
LISTED = "ImageOfList"
_BASE64_HELP = "base64 of an image file, bare or as a data: URI"


def image_files() -> Json:
    """Return the schema of a form of files."""
    file = {"type": "string", "format": "binary"}
    # Without `minItems`: with it OpenAPI Generator's client in Go does not compile.
    return object_of({FILES_FIELD: {"type": "array", "items": file, "description": "one or more"}})


def json_body(endpoint: Endpoint) -> Json:
    """Return the schema of an endpoint's body in JSON."""
    text = {"type": "string", "format": "byte", "description": _BASE64_HELP}
    texts = {"type": "array", "minItems": 1, "items": text}
    more = json_fields() if endpoint.answers_pictures else {}
    if endpoint.streams:
        more = {LIST_FIELD: {"type": "array", "minItems": 1, "items": ref(LISTED)}}
    fields = object_of({ONE_FIELD: text, MANY_FIELD: texts, **more})
    del fields["required"]
    names = [ONE_FIELD, MANY_FIELD, *([LIST_FIELD] if endpoint.streams else [])]
    return {**fields, "description": f"{' or '.join(f'`{name}`' for name in names)}, never two of them."}


def listed_image() -> Json:
    """Return the schema of one image of a list."""
    address = "http or https; fetched if VISION_FETCH_HOSTS of the deployment names the host"
    fields = object_of(
        {
            URL: {"type": "string", "format": "uri", "maxLength": MAX_ADDRESS, "description": address},
            BASE64: {"type": "string", "format": "byte", "description": _BASE64_HELP},
        }
    )
    del fields["required"]
    return {**fields, "description": f"`{URL}` or `{BASE64}`, never both."}


def headers_of(described: Mapping[str, str]) -> Json:
    """Return the headers of an answer: those that every answer has, and those described."""
    every = {"X-Request-ID": "names this request in the service's log", **described}
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in every.items()}


def object_of(properties: Json) -> Json:
    """Return the schema of an object that has these properties, all of them, and no other."""
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def ref(name: str) -> Json:
    """Return a reference to the schema of that name."""
    return {"$ref": SCHEMAS + name}
