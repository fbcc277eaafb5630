"""Generate the reference page of the API: `python -m pipeline.http_api.document.reference > docs/reference/http.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from pipeline.http_api.document.described import described_path, path_parameters, success_media_types
from pipeline.http_api.operation import Operation
from pipeline.http_api.operations import OPERATIONS
from pipeline.http_api.problems import KINDS

_HEAD = """# HTTP operations

For programs in any language that call `pipeline serve`. This page is generated from the table of operations:
`python -m pipeline.http_api.document.reference > docs/reference/http.md`. [The HTTP API](../how-to/http-api.md) shows
how to use it; `GET /openapi.json` is the same for programs.

Every failure is answered with `application/problem+json` and one of the [codes](#problems) below. The problems of an
operation are listed with it, except those that any of its kind may answer:

- every operation: `bad_request`, `bad_parameter`, `internal`;
- with a key: those of status 401, `key_in_url`, `scope_missing`, `rate_limited`, `busy`, `database_unreachable`;
- with a name in its path: `not_found`;
- with a body: `bad_json`, `body_too_large`, `unsupported_media_type`, `invalid_request`.
"""


def reference_page(operations: Iterable[Operation] = OPERATIONS) -> str:
    """Return the reference page as Markdown."""
    ordered = sorted(operations, key=lambda each: (_topic(each), each.path, each.method))
    sections = [_HEAD]
    for topic, members in groupby(ordered, key=_topic):
        sections.append(f"## {topic.replace('-', ' ').replace('_', ' ').capitalize()}\n")
        sections += [_section(each) for each in members]
    sections.append(_problems())
    return "\n".join(sections)


def _topic(operation: Operation) -> str:
    return operation.id.partition(".")[0]


def _section(operation: Operation) -> str:
    lines = [f"### {operation.method} {described_path(operation)}\n", f"{operation.summary}\n"]
    lines += [f"- {fact}" for fact in _facts(operation)]
    if operation.query is not None:
        lines += ["", "| parameter | value | meaning |", "| --- | --- | --- |"]
        schema = operation.query.model_json_schema()
        lines += [
            f"| `{name}` | {_value(each)} | {each.get('description', '')} |"
            for name, each in schema["properties"].items()
        ]
    return "\n".join(lines) + "\n"


def _facts(operation: Operation) -> Iterator[str]:
    yield "no key needed" if operation.scope is None else f"scope `{operation.scope.value}`"
    if operation.body is not None:
        members = ", ".join(f"`{name}`" for name in operation.body.model_json_schema().get("properties", {}))
        yield f"JSON body: {members}"
    if operation.bodies:
        yield "body: " + ", ".join(f"`{media_type}`" for media_type in operation.bodies)
    types = ", ".join(f"`{media_type}`" for media_type in success_media_types(operation))
    goes_on = "; goes on for as long as there is something to tell" if operation.is_stream else ""
    yield f"answers {operation.status}{f': {types}' if types else ''}{goes_on}"
    if operation.answer is not None:
        names = operation.answer.model_json_schema(mode="serialization").get("properties", {})
        yield "members: " + ", ".join(f"`{name}`" for name in names)
    listed = [code for code in operation.problems if not (code == "not_found" and path_parameters(operation))]
    if listed:
        yield "problems: " + ", ".join(f"[`{code}`](#problems)" for code in listed)


def _value(schema: dict[str, Any]) -> str:
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    kinds = [
        " or ".join(f"`{value}`" for value in each["enum"]) if "enum" in each else str(each.get("type", "text"))
        for each in choices
    ]
    default = schema.get("default")
    return " or ".join(dict.fromkeys(kinds)) + ("" if default in (None, "") else f", default `{_shown(default)}`")


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _problems() -> str:
    rows = sorted((kind.status, code, kind) for code, kind in KINDS.items())
    table = "\n".join(f"| {status} | `{code}` | {kind.title} | {kind.advice} |" for status, code, kind in rows)
    return f"## Problems\n\n| status | code | title | what to do |\n| --- | --- | --- | --- |\n{table}\n"


if __name__ == "__main__":
    sys.stdout.write(reference_page())
