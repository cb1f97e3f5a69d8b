"""The OpenAPI document says what the service does: forms, answers and errors, served and packed alike."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from runtime.error_bodies import EDGE_CODES
from runtime.refusals import STATUS
from tests.bento_project import Served
from tests.service.requests import png, post

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(served: Served) -> Json:
    found: Json = httpx.get(f"{served.url}/docs.json").json()
    return found


def nodes(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from nodes(item)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: Json) -> None:
    targets = {node["$ref"].removeprefix("#/components/schemas/") for node in nodes(document) if "$ref" in node}
    assert targets == set(document["components"]["schemas"])


def test_types_are_those_of_openapi(document: Json) -> None:
    """BentoML writes `type: file`, which no generator knows, and JSON Schema's null, which OpenAPI 3.0 does not."""
    assert document["openapi"] == "3.0.3"
    schemas = [*document["components"]["schemas"].values(), *nodes(document["paths"]["/predict"])]
    types = {node["type"] for schema in schemas for node in nodes(schema) if isinstance(node.get("type"), str)}
    assert types <= {"object", "array", "string", "integer", "number", "boolean"}


def test_all_forms_are_described_and_the_service_takes_them(served: Served, document: Json) -> None:
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    raw = {"image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff"}
    assert set(content) == {"multipart/form-data", "application/json"} | raw
    for media_type in raw:
        assert post(served, png(), media_type).status_code == 200
    schemas = document["components"]["schemas"]
    assert schemas["ImageFiles"]["properties"]["images"]["items"] == {"type": "string", "format": "binary"}
    assert schemas["ImageBase64"]["properties"]["image_b64"]["format"] == "byte"
    assert schemas["ImagesBase64"]["properties"]["images_b64"]["items"]["format"] == "byte"
    assert not any(schemas[name]["additionalProperties"] for name in ("ImageFiles", "ImageBase64", "ImagesBase64"))


def test_answer_has_the_fields_described(served: Served, document: Json) -> None:
    schema = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    described = document["components"]["schemas"]
    answer = post(served, png(), "image/png").json()[0]
    assert set(answer) == set(described["Prediction"]["properties"]) == set(described["Prediction"]["required"])
    assert set(answer["model"]) == set(described["ModelIdentity"]["properties"])


def test_every_code_is_described_under_its_status(document: Json) -> None:
    responses = document["paths"]["/predict"]["post"]["responses"]
    for code, status in STATUS.items():
        assert code.value in responses[str(int(status))]["description"]
    error = document["components"]["schemas"]["Problem"]
    assert error["properties"]["code"]["enum"] == sorted({*(code.value for code in STATUS), *EDGE_CODES.values()})
    assert error["required"] == ["code", "message", "index", "request_id"]
    for status, response in responses.items():
        schema = response["content"]["application/json"]["schema"]
        assert status == "200" or schema == {"$ref": "#/components/schemas/Error"}


def test_the_bento_carries_the_same_document(served: Served, document: Json) -> None:
    bentos = served.project.home / "bentos" / "vision"
    packed = (bentos / (bentos / "latest").read_text().strip() / "apis/openapi.yaml").read_text()
    assert "!" not in packed.split("\n")[0]
    read: Json = yaml.safe_load(packed)
    assert {**read, "info": {}} == {**document, "info": {}}  # at build time the version is not yet known
