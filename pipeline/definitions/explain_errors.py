"""Explains what is wrong with a definition, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.domain.did_you_mean import hint
from pipeline.domain.item import Stage
from pipeline.domain.validation_text import describe_error
from pipeline.stages.catalog import registry
from pipeline.stages.catalog.spec import StageSpec

#: Characters of a value shown in messages.
_SHOWN = 80
_SECRET_WORDS = ("token", "secret", "password", "authorization", "auth", "headers", "cookie", "api_key", "apikey")

_Location = Sequence[str | int]


def explain_errors(error: ValidationError, model: type[BaseModel], tables: Mapping[str, Any], source: str) -> str:
    """Return one line per error: the field, its value, and what was expected."""
    return "\n".join(f"{source}: {_explain(details, model, tables)}" for details in error.errors(include_url=False))


def _explain(details: ErrorDetails, model: type[BaseModel], tables: Mapping[str, Any]) -> str:
    location = details["loc"]
    field = _format_location(location)
    if details["type"] == "missing":
        return f"{field} is missing{_required_value(details)}"
    if details["type"] == "extra_forbidden":
        return f"{field} is not a field of {_table_name(location)}{_suggest_fields(location, model, tables)}"
    return f"{field} = {_show_value(details['input'], field)}: {_expected(details, location)}"


def _format_location(location: _Location) -> str:
    """Return a location as users write it: `enrich[1].url`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _required_value(details: ErrorDetails) -> str:
    expected = details["msg"].removeprefix("Field required").removeprefix(": ")
    return f"; expected {expected}" if expected else ""


def _expected(details: ErrorDetails, location: _Location) -> str:
    field = _format_location(location)
    if details["type"] == "tuple_type" and isinstance(details["input"], Mapping):
        return f"expected a list; in a file, write [[{field}]] instead of [{field}]"
    if details["type"] == "model_type" and isinstance(details["input"], list | tuple):
        return f"expected one table; in a file, write [{field}] instead of [[{field}]]"
    return describe_error(details)


def _table_name(location: _Location) -> str:
    return f"[{_format_location(location[:-1])}]" if len(location) > 1 else "a definition"


def _suggest_fields(location: _Location, model: type[BaseModel], tables: Mapping[str, Any]) -> str:
    owner = _find_model(location[:-1], model, tables)
    if owner is None:
        return ""
    return hint(str(location[-1]), owner.model_fields) or f"; its fields are {', '.join(owner.model_fields)}"


def _find_model(location: _Location, model: type[BaseModel], tables: Any) -> type[BaseModel] | None:
    """Return the model of the table at `location`; for a stage's table, the one that its `use` selects."""
    owner: type[BaseModel] | None = model
    for part in location:
        if owner is None or not isinstance(tables, Mapping | list | tuple):
            return None
        tables = tables[part]  # type: ignore[index]  # pydantic's locations exist in its input
        if isinstance(part, str):
            owner = next(_models_in(owner.model_fields[part].annotation), None)
        if owner is not None and issubclass(owner, StageSpec) and isinstance(tables, Mapping):
            owner = registry.spec_type(Stage(str(location[0])), tables.get("use"))
    return owner


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _show_value(value: object, field: str) -> str:
    if any(word in field.casefold() for word in _SECRET_WORDS):
        return "(not shown)"
    if isinstance(value, Mapping | list | tuple):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    try:
        text = repr(value)
    except Exception:
        # An integer of thousands of digits, or an object of the caller's.
        return f"a value of type {type(value).__name__}"
    # A URL may hold credentials before its host: "scheme://name:password@host".
    if "://" in text and "@" in text:
        return "(a URL with credentials)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
