"""Read parameters and JSON bodies into models. What is unknown, repeated or of the wrong type is refused, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from pipeline.domain.did_you_mean import hint
from pipeline.domain.strict_json import LossyJson, parse_strictly
from pipeline.domain.validation_text import describe_error
from pipeline.http_api.problems import Problem

M = TypeVar("M", bound=BaseModel)

#: Errors of a body that are described, and members that it should not have.
_MAX_ERRORS, _MAX_UNKNOWN = 100, 20


class Parameters(BaseModel):
    """Parameters after `?`. A parameter may be given once."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class BodyModel(BaseModel):
    """A JSON object that a caller sends."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class AnswerModel(BaseModel):
    """A JSON object that the server answers with."""

    model_config = ConfigDict(frozen=True, defer_build=True)


def _flag(value: object) -> object:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("expected true or false")
        return value == "true"
    return value


#: A boolean parameter: `true` or `false`, nothing else.
Flag = Annotated[bool, BeforeValidator(_flag)]


def _instant(value: object) -> object:
    """Return a time: ISO 8601 with its zone, or how long ago, such as `PT6H`."""
    if not isinstance(value, str):
        raise ValueError("expected a time as text")
    try:
        if value.startswith("P"):
            return datetime.now(UTC) - _DURATION.validate_python(value)
        found = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        raise ValueError(f"expected {_TIME}") from None
    if found.tzinfo is None:
        raise ValueError(f"it has no time zone; expected {_TIME}")
    return found.astimezone(UTC)


_DURATION = TypeAdapter(timedelta)
_TIME = "a time such as 2026-11-21T08:00:00Z, or how long ago, such as PT6H"
#: A time: ISO 8601 with its zone, or how long ago, such as `PT6H`.
Moment = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=str)]


def read_parameters(model: type[M] | None, given: QueryParams, *, ignored: frozenset[str] = frozenset()) -> M | None:
    """Return the parameters of a request; None for an operation without parameters.

    Args:
        ignored: names that something else reads.

    Raises:
        Problem: bad_parameter.
    """
    known = [] if model is None else [field.alias or name for name, field in model.model_fields.items()]
    found: dict[str, str] = {}
    for name, value in given.multi_items():
        if name in ignored:
            continue
        if name not in known:
            raise _refused(name, f"there is no parameter {name[:80]!r}{hint(name, known) or _listed(known)}")
        if name in found:
            raise _refused(name, f"the parameter {name!r} is given twice")
        found[name] = value
    if model is None:
        return None
    try:
        return model.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise _refused(name, f"{name}={found.get(name, '')[:80]!r}: {describe_error(first)}") from None


def read_json(model: type[M], body: bytes) -> M:
    """Return a JSON body as a model.

    Raises:
        Problem: bad_json, or invalid_request with a pointer.
    """
    return validate(model, parse_json(body))


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON text, which has no duplicate members, no NaN, and bounded depth.

    Raises:
        Problem: bad_json.
    """
    try:
        return parse_strictly(body.decode())
    except UnicodeDecodeError as error:
        raise Problem("bad_json", f"the body is not UTF-8: byte {error.start + 1} cannot be read") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno} (byte {len(error.doc[: error.pos].encode()) + 1})"
        raise Problem("bad_json", f"the body is not valid JSON: {error.msg} at {where}", offset=error.pos) from None
    except LossyJson as error:
        raise Problem("bad_json", f"the body cannot be read as it was meant: {error}") from None


def validate(model: type[M], value: Any) -> M:
    """Return a JSON value as a model.

    Raises:
        Problem: invalid_request with a pointer.
    """
    if not isinstance(value, Mapping):
        raise Problem("invalid_request", "the body is not a JSON object")
    _refuse_unknown(model, value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[:_MAX_ERRORS]
        errors = [{"pointer": pointer(*each["loc"]), "detail": _described(model, each)} for each in found]
        raise Problem("invalid_request", f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors) from None


def _refuse_unknown(model: type[BaseModel], value: Mapping[str, Any]) -> None:
    """Refuse members that a model has not, however many there are: pydantic would make an error of each."""
    known = list(model.model_fields)
    unknown = [name for name in value if name not in model.model_fields][:_MAX_UNKNOWN]
    if unknown and model.model_config.get("extra") == "forbid":
        errors = [{"pointer": pointer(name), "detail": _unknown(name, known)} for name in unknown]
        raise Problem("invalid_request", f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


def _unknown(name: str, known: list[str]) -> str:
    return f"there is no member {name[:80]!r}{hint(name, known) or _listed(known)}"


def pointer(*path: object) -> str:
    """Return the JSON pointer of a member, as a fragment: RFC 6901, section 6, without percent-encoding."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _described(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown(str(error["loc"][-1]), [])
    if error["type"] == "missing":
        return "it is missing"
    return describe_error(error)


def _listed(known: list[str]) -> str:
    return f"; there are {', '.join(known)}" if known else ""


def _refused(name: str, detail: str) -> Problem:
    return Problem("bad_parameter", detail, errors=[{"parameter": name[:80], "detail": detail}])
