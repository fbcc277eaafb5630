"""Operations that describe the API: the OpenAPI document and the catalogue of problems."""

from __future__ import annotations

from functools import cache

from starlette.responses import Response

from pipeline.errors import NotFound
from pipeline.http_api.call import ApiCall, answer, encode
from pipeline.http_api.document.openapi import make_document
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel
from pipeline.http_api.problems import KINDS


class ProblemKind(AnswerModel):
    """One kind of problem."""

    code: str
    status: int
    title: str
    advice: str


class ProblemKinds(AnswerModel):
    """Every kind of problem."""

    data: list[ProblemKind]


async def openapi(call: ApiCall) -> Response:
    """Return the document."""
    return Response(_document(), media_type="application/json")


@cache
def _document() -> bytes:
    # Imported here: the table of operations contains this one.
    from pipeline.http_api.operations import OPERATIONS

    return encode(make_document(OPERATIONS))


async def problems(call: ApiCall) -> Response:
    """Return every kind of problem."""
    return answer({"data": [_problem(code) for code in sorted(KINDS)]})


async def problem(call: ApiCall) -> Response:
    """Return one kind of problem: what the `type` of a problem leads to."""
    code = call.path("code")
    if code not in KINDS:
        raise NotFound(f"there is no problem {code[:80]!r}; /problems lists them")
    return answer(_problem(code))


def _problem(code: str) -> dict[str, object]:
    return {"code": code, **KINDS[code]._asdict()}


OPERATIONS = (
    Operation(
        "document.openapi", "GET", "/openapi.json", None, "Return the OpenAPI 3.1 document of this API.", openapi,
        answers=("application/json",),
    ),
    Operation(
        "document.problems", "GET", "/problems", None, "List every kind of problem.", problems, answer=ProblemKinds
    ),
    Operation(
        "document.problem", "GET", "/problems/{code}", None, "Explain one kind of problem.", problem,
        answer=ProblemKind,
    ),
)  # fmt: skip
