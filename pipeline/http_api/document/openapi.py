"""The OpenAPI 3.1.1 document (https://spec.openapis.org/oas/v3.1.1), made from the table of operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from pipeline.http_api.document.described import described_path, path_parameters, problems_of, success_media_types
from pipeline.http_api.operation import Operation
from pipeline.http_api.problems import KINDS, MEDIA_TYPE
from pipeline.version import installed_version

_REFERENCE = "#/components/schemas/{model}"
#: Statuses of answers without a body.
_EMPTY = frozenset({204, 304})
_BEARER = "key"
_PROBLEM = {
    "type": "object",
    "description": "Why a request failed, as RFC 9457 has it.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Path of a page about this kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, with the value, and what to do."},
        "code": {"type": "string", "enum": sorted(KINDS)},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "What is wrong where: at most 1,000 entries.",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "line": {"type": "integer", "description": "In the body, from 1."},
                    "pointer": {"type": "string", "description": "JSON pointer into the body, as a fragment."},
                    "parameter": {"type": "string", "description": "Name of a query parameter."},
                },
            },
        },
        "error_count": {"type": "integer", "description": "All errors, those not listed included."},
    },
}


def make_document(operations: Iterable[Operation]) -> dict[str, Any]:
    """Return the document that describes these operations."""
    operations = list(operations)
    names, schemas = _schemas(operations)
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in sorted(operations, key=lambda each: (each.path, each.method)):
        paths[described_path(operation)][operation.method.lower()] = _described(operation, names)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "pipeline",
            "version": installed_version(),
            "summary": "Submit batches, and receive each result as soon as its item is done.",
            "description": "Members may be added to answers without notice; ignore those you do not know.",
        },
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "securitySchemes": {
                _BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key: `pipe_…`. Not needed on loopback as long as no key exists.",
                }
            },
        },
    }


def _schemas(operations: list[Operation]) -> tuple[dict[type[BaseModel], str], dict[str, Any]]:
    """Return the name of each model's schema, and the schemas."""
    chosen: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for operation in operations:
        if operation.body is not None:
            chosen.append((operation.body, "validation"))
        if operation.answer is not None:
            chosen.append((operation.answer, "serialization"))
    references, document = models_json_schema(list(dict.fromkeys(chosen)), ref_template=_REFERENCE)
    names = {model: str(references[model, mode]["$ref"]).rpartition("/")[2] for model, mode in chosen}
    return names, document.get("$defs", {})


def _described(operation: Operation, names: dict[type[BaseModel], str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.id.partition(".")[0]],
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": _responses(operation, names),
        "security": [{_BEARER: []}] if operation.needs_key else [],
    }
    if operation.scope is not None:
        found["description"] = f"Needs the scope `{operation.scope.value}`."
    if operation.is_stream:
        found["x-stream"] = True
    content = _body(operation, names)
    if content:
        found["requestBody"] = {"required": True, "content": content}
    return found


def _path_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in path_parameters(operation)
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": each.get("description", ""),
            "schema": {key: value for key, value in each.items() if key not in ("title", "description")},
        }
        for name, each in schema["properties"].items()
    ]


def _body(operation: Operation, names: dict[type[BaseModel], str]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {"schema": {}} for media_type in operation.bodies}
    if operation.body is not None:
        example = {"example": dict(operation.example)} if operation.example else {}
        content["application/json"] = {"schema": _reference(names[operation.body]), **example}
    return content


def _responses(operation: Operation, names: dict[type[BaseModel], str]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.summary}
    content: dict[str, Any] = {media_type: {"schema": {}} for media_type in success_media_types(operation)}
    if operation.answer is not None:
        content["application/json"] = {"schema": _reference(names[operation.answer])}
    if content:
        success["content"] = content
    codes: dict[int, list[str]] = defaultdict(list)
    for code in problems_of(operation):
        codes[KINDS[code].status].append(code)
    problem = {MEDIA_TYPE: {"schema": _reference("Problem")}}
    others = {
        str(status): {"description": text, **({"content": content} if content and status not in _EMPTY else {})}
        for status, text in operation.other_statuses.items()
    }
    return {
        str(operation.status): success,
        **others,
        **{str(status): {"description": ", ".join(each), "content": problem} for status, each in codes.items()},
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}
