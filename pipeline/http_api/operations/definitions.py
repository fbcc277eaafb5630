"""Operations on definitions by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from pipeline.batches import named_definitions
from pipeline.batches.named_definitions import NamedDefinition
from pipeline.domain.api_key import Scope
from pipeline.errors import InvalidDefinition
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.conditional import UNCHANGED, with_tag
from pipeline.http_api.operation import Operation
from pipeline.http_api.pages import PageQuery, page, read_cursor
from pipeline.http_api.parameters import AnswerModel, Parameters, pointer
from pipeline.http_api.problems import Problem
from pipeline.http_api.remote_definitions import MEDIA_TYPES, check_remote_definition, may_show, read_tables

_PATH = "/v1/definitions/{name}"
_NOT_STORED = ("definition_is_a_file", "precondition_failed")
_EXAMPLE = {
    "name": "tickets",
    "classify": {"use": "keywords", "rules": [{"label": "billing", "any": ["invoice"]}], "default": "other"},
}


class DefinitionQuery(Parameters):
    """Which version."""

    version: str | None = Field(None, max_length=100, description="One that a batch was submitted with.")


class DefinitionSummary(AnswerModel):
    """What a name means."""

    name: str
    is_file: bool = Field(description="Whether it is a file of the server, which is everybody's and read-only.")
    tenant: str | None = Field(description="Whose it is; null: a file.")
    version: str | None = Field(description="null in lists for a file.")
    updated_at: datetime | None


class DefinitionAnswer(DefinitionSummary):
    """What a name means, with its tables."""

    definition: dict[str, object] | None = Field(
        description="Its tables; null: they may name services and files, which only the scope `admin` sees."
    )


class DefinitionPage(AnswerModel):
    """A page of definitions, by name."""

    data: list[DefinitionSummary]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool


class DefinitionVerdict(AnswerModel):
    """Whether a definition could be stored."""

    valid: bool
    version: str | None
    errors: list[dict[str, str]]


async def every(call: ApiCall) -> Response:
    """Return a page of definitions."""
    query = call.parameters(PageQuery)
    after = read_cursor(query.after)
    found = await call.quick(named_definitions.every, call.context, call.caller.sees)
    behind = [each for each in found if after is None or _order(each) > after]
    return answer(page(behind, query.limit, _order, _summary))


async def get(call: ApiCall) -> Response:
    """Return what a name means."""
    query = call.parameters(DefinitionQuery)
    found = await call.quick(
        named_definitions.find, call.context, call.path("name"), call.caller.submits_as, query.version
    )
    tables = found.tables or {}
    body = {**_summary(found), "definition": tables if may_show(call.caller, tables) else None}
    return with_tag(call.request, answer(body), f'"{found.version}"')


async def put(call: ApiCall) -> Response:
    """Store a definition under a name."""
    name = call.path("name")
    named_definitions.check_name(name)
    tables = _named(await read_tables(call), name)
    check_remote_definition(call.caller, tables)
    await _refuse_file(call, name)
    definition = await call.bulk(named_definitions.read, call.context, tables)
    is_new = await call.quick(
        named_definitions.store,
        call.context,
        call.caller.submits_as,
        definition,
        key_id=call.caller.key_id,
        check=partial(_check_version, call.request),
    )
    found = NamedDefinition(name, call.caller.submits_as, definition.version, updated_at=call.context.now())
    headers = {"ETag": f'"{definition.version}"'}
    return answer(_summary(found), 201 if is_new else 200, headers)


async def delete(call: ApiCall) -> Response:
    """Let a name mean nothing."""
    name = call.path("name")
    await _refuse_file(call, name)
    check = partial(_check_version, call.request)
    await call.quick(named_definitions.remove, call.context, call.caller.submits_as, name, check=check)
    return Response(None, 204)


async def validate(call: ApiCall) -> Response:
    """Tell whether a definition could be stored."""
    call.unchanged()
    tables = await read_tables(call)
    try:
        check_remote_definition(call.caller, tables)
        definition = await call.bulk(named_definitions.read, call.context, tables)
    except InvalidDefinition as error:
        lines = [{"detail": line.removeprefix("the definition: ")} for line in str(error).splitlines()]
        return answer({"valid": False, "version": None, "errors": lines})
    except Problem as problem:
        if problem.code != "definition_not_allowed":
            raise
        return answer({"valid": False, "version": None, "errors": list(problem.errors)})
    return answer({"valid": True, "version": definition.version, "errors": []})


def _named(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return tables with the name that the path has."""
    given = tables.get("name", name)
    if given != name:
        detail = f"it differs from the name in the path, {name!r}; leave it out, or send the same"
        raise Problem("invalid_request", f"#/name: {detail}", errors=[{"pointer": pointer("name"), "detail": detail}])
    return {**tables, "name": name}


async def _refuse_file(call: ApiCall, name: str) -> None:
    if await call.quick(named_definitions.is_file, call.context, name):
        raise Problem(
            "definition_is_a_file", f"definition {name!r} is a file of the server, which the API does not change"
        )


def _check_version(request: Request, version: str | None) -> None:
    """Refuse a change whose preconditions a version does not meet; None: the name means nothing yet."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    is_stale = wanted is not None and (version is None or wanted not in ("*", f'"{version}"'))
    if is_stale or (unwanted == "*" and version is not None):
        is_now = "it means nothing" if version is None else f"it is version {version}"
        raise Problem("precondition_failed", f"the definition is not what the request expects: {is_now} now")


def _order(found: NamedDefinition) -> str:
    return f"{found.name} {found.tenant or ''}"


def _summary(found: NamedDefinition) -> dict[str, Any]:
    return {
        "name": found.name,
        "is_file": found.is_file,
        "tenant": found.tenant,
        "version": found.version,
        "updated_at": found.updated_at,
    }


OPERATIONS = (
    Operation(
        "definitions.list", "GET", "/v1/definitions", Scope.READ, "List definitions by name.", every,
        query=PageQuery, answer=DefinitionPage, problems=("bad_cursor",),
    ),
    Operation(
        "definitions.get", "GET", _PATH, Scope.READ, "Show the definition that a name means.", get,
        query=DefinitionQuery, answer=DefinitionAnswer, problems=("invalid_definition",), other_statuses=UNCHANGED,
    ),
    Operation(
        "definitions.store", "PUT", _PATH, Scope.SUBMIT,
        "Store a definition under a name; running batches keep theirs.", put,
        bodies=MEDIA_TYPES, answer=DefinitionSummary, other_statuses={201: "The name is new."},
        problems=("definition_not_allowed", "invalid_definition", *_NOT_STORED), example=_EXAMPLE,
    ),
    Operation(
        "definitions.delete", "DELETE", _PATH, Scope.SUBMIT,
        "Let a name mean nothing; running batches keep their definition.", delete,
        status=204, problems=_NOT_STORED,
    ),
    Operation(
        "definitions.validate", "POST", "/v1/definitions/validate", Scope.SUBMIT,
        "Tell whether a definition could be stored.", validate,
        bodies=MEDIA_TYPES, answer=DefinitionVerdict, problems=("invalid_definition",), example=_EXAMPLE,
    ),
)  # fmt: skip
