"""The OpenAPI document says what the service does: forms, answers and errors, served and packed alike."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml

from runtime.answers.refusals import STATUS, FetchErrorCode, JobErrorCode, RequestErrorCode
from runtime.model.errors import ViewErrorCode
from runtime.serving.error_bodies import EDGE_CODES
from tests.bento_project import Served
from tests.service.requests import code_and_index, png, post

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


def operations(document: Json) -> list[Json]:
    """Those that predict."""
    return [path["post"] for path in document["paths"].values() if "post" in path]


class TestEveryDocument:
    """What holds whatever is served: other files import it, and have a `document` of their own."""

    def test_every_reference_leads_somewhere_and_every_schema_is_used(self, document: Json) -> None:
        targets = {node["$ref"].removeprefix("#/components/schemas/") for node in nodes(document) if "$ref" in node}
        assert targets == set(document["components"]["schemas"])

    def test_types_are_those_of_openapi(self, document: Json) -> None:
        """BentoML writes `type: file`, which no generator knows, and JSON Schema's null, which OpenAPI 3.0 does not."""
        assert document["openapi"] == "3.0.3"
        schemas = [*document["components"]["schemas"].values(), *nodes(operations(document))]
        # Of JSON Schema, which pydantic writes, and not of OpenAPI 3.0.
        assert not [node for schema in schemas for node in nodes(schema) if node.keys() & {"prefixItems", "const"}]
        bounds = [
            node["exclusiveMinimum"] for schema in schemas for node in nodes(schema) if "exclusiveMinimum" in node
        ]
        assert all(bound is True for bound in bounds)
        types = {node["type"] for schema in schemas for node in nodes(schema) if isinstance(node.get("type"), str)}
        assert types <= {"object", "array", "string", "integer", "number", "boolean"}
        numbers = [node for schema in schemas for node in nodes(schema) if node.get("type") == "number"]
        assert len(numbers) >= 4
        assert {node.get("format") for node in numbers} == {"double"}, "else clients read single precision or decimals"

    def test_generators_find_one_body_in_each_operation_and_send_it_under_its_own_type(self, document: Json) -> None:
        """OpenAPI Generator reads the first media type, and sends JSON where any of them is JSON; TypeScript has no two
        things of one name, and calls the parameters of `predict` `PredictRequest`."""
        names = {operation["operationId"] for operation in operations(document)}
        assert names == {path[1:].replace("/", "_") for path, found in document["paths"].items() if "post" in found}
        reserved = {"".join(word.capitalize() for word in name.split("_")) + "Request" for name in names}
        for operation in operations(document):
            content = operation["requestBody"]["content"]
            first = next(iter(content))
            assert first == "multipart/form-data" or list(content) == ["application/json"]
            schema = content[first]["schema"]
            assert list(schema) == ["$ref"], "a body without a name gets one from the generator"
            assert schema["$ref"].removeprefix("#/components/schemas/") not in reserved
            if first == "multipart/form-data":
                encoding = {"images": {"style": "form", "explode": True}}
                assert content[first]["encoding"] == encoding, "else a list is written as one text"
        # With it the client in Go does not compile.
        assert "minItems" not in document["components"]["schemas"]["ImageFiles"]["properties"]["images"]

    def test_nothing_is_in_the_document_that_is_beyond_generators(self, document: Json) -> None:
        assert not [node for node in nodes(document) if node.keys() & {"oneOf", "anyOf", "allOf", "not"}]
        description = document["info"]["description"]
        assert len(description) < 200
        assert "\n" not in description
        assert "contact" not in document["info"]


def test_all_forms_are_described_and_the_service_takes_them(served: Served, document: Json) -> None:
    content = document["paths"]["/predict"]["post"]["requestBody"]["content"]
    raw = {"image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff"}
    assert set(content) == {"multipart/form-data"} | raw
    for media_type in raw:
        assert post(served, png(), media_type).status_code == 200
    assert set(document["paths"]["/predict/base64"]["post"]["requestBody"]["content"]) == {"application/json"}
    schemas = document["components"]["schemas"]
    assert schemas["ImageFiles"]["properties"]["images"]["items"] == {"type": "string", "format": "binary"}
    texts = schemas["ImagesInBase64"]["properties"]
    assert (texts["image_b64"]["format"], texts["images_b64"]["items"]["format"]) == ("byte", "byte")
    assert not any(schemas[name]["additionalProperties"] for name in ("ImageFiles", "ImagesInBase64"))


def test_path_for_generated_clients_is_the_same_endpoint(served: Served) -> None:
    body = json.dumps({"image_b64": base64.b64encode(png()).decode()}).encode()
    answers = [httpx.post(f"{served.url}/predict{end}", content=body) for end in ("", "/base64")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert code_and_index(httpx.post(f"{served.url}/predict/base64", content=b"{}")) == ("no_image", None)
    assert code_and_index(httpx.get(f"{served.url}/predict/base64")) == ("method_not_allowed", None)
    for path in ("/predict/base64x", "/predict/base", "/base64"):
        assert httpx.post(served.url + path, content=body).status_code == 404


def test_endpoint_without_a_model_is_not_there(served: Served, document: Json) -> None:
    assert [path for path in document["paths"] if "segment" in path or "detect" in path] == []
    assert not {"Segmentation", "PipelineResult"} & set(document["components"]["schemas"])
    for path in ("/segment", "/segment/base64", "/detect", "/detect/base64", "/detect_batch"):
        assert code_and_index(httpx.post(served.url + path, files=[("images", png())])) == ("not_found", None)


def test_jobs_are_not_there_without_a_folder(served: Served, document: Json) -> None:
    assert not [path for path in document["paths"] if path.startswith("/jobs")]
    assert not {"Job", "NewJob", "ImageOfList"} & set(document["components"]["schemas"])
    for method, path in (("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/jobs/one"), ("DELETE", "/jobs/one")):
        assert code_and_index(httpx.request(method, served.url + path)) == ("not_found", None)


def test_answer_has_the_fields_described(served: Served, document: Json) -> None:
    schema = document["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}}
    described = document["components"]["schemas"]
    answer = post(served, png(), "image/png").json()[0]
    assert set(answer) == set(described["Prediction"]["properties"]) == set(described["Prediction"]["required"])
    assert set(answer["model"]) == set(described["ModelIdentity"]["properties"])


def test_every_code_is_described_under_its_status(document: Json) -> None:
    responses = document["paths"]["/predict"]["post"]["responses"]
    assert all(operation["responses"] == responses for operation in operations(document))
    for code, status in STATUS.items():
        # This endpoint answers in JSON, whatever is accepted, looks at whole images, fetches none and keeps none.
        if code not in (RequestErrorCode.NOT_ACCEPTABLE, *ViewErrorCode, *FetchErrorCode, *JobErrorCode):
            assert code.value in responses[str(int(status))]["description"]
    assert "406" not in responses
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
    # Media types come in an order that counts.
    packed_content, content = (
        found["paths"]["/predict"]["post"]["requestBody"]["content"] for found in (read, document)
    )
    assert list(packed_content) == list(content)
