"""What is wrong with a definition, in words that say what to change."""

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

#: Characters of a value that a message repeats.
_SHOWN = 80
_SECRET_WORDS = ("token", "secret", "password", "authorization", "auth", "headers", "cookie", "api_key", "apikey")

_Location = Sequence[str | int]


def explain(error: ValidationError, model: type[BaseModel], tables: Mapping[str, Any], source: str) -> str:
    """Return one line for each error: where, the value, and what was expected."""
    return "\n".join(f"{source}: {_line(details, model, tables)}" for details in error.errors(include_url=False))


def path(location: _Location) -> str:
    """Return a location as people write it: `enrich[1].url`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _line(details: ErrorDetails, model: type[BaseModel], tables: Mapping[str, Any]) -> str:
    location = details["loc"]
    where = path(location)
    if details["type"] == "missing":
        return f"{where} is missing{_expectation(details)}"
    if details["type"] == "extra_forbidden":
        return f"{where} is no field of {_table(location)}{_known_fields(location, model, tables)}"
    return f"{where} = {_value(details['input'], where)}: {_expected(details, location)}"


def _expectation(details: ErrorDetails) -> str:
    stated = details["msg"].removeprefix("Field required").removeprefix(": ")
    return f"; expected {stated}" if stated else ""


def _expected(details: ErrorDetails, location: _Location) -> str:
    if details["type"] == "tuple_type" and isinstance(details["input"], Mapping):
        return f"expected a list; in a file, write [[{path(location)}]] instead of [{path(location)}]"
    if details["type"] == "model_type" and isinstance(details["input"], list | tuple):
        return f"expected one table; in a file, write [{path(location)}] instead of [[{path(location)}]]"
    return describe_error(details)


def _table(location: _Location) -> str:
    return f"[{path(location[:-1])}]" if len(location) > 1 else "a definition"


def _known_fields(location: _Location, model: type[BaseModel], tables: Mapping[str, Any]) -> str:
    owner = _owner(location[:-1], model, tables)
    if owner is None:
        return ""
    return hint(str(location[-1]), owner.model_fields) or f"; its fields are {', '.join(owner.model_fields)}"


def _owner(location: _Location, model: type[BaseModel], tables: Any) -> type[BaseModel] | None:
    """Return the model of the table at `location`; of a stage's table, the one that its `use` names."""
    owner: type[BaseModel] | None = model
    for part in location:
        if owner is None or not isinstance(tables, Mapping | list | tuple):
            return None
        tables = tables[part]  # type: ignore[index]  # a location names what is there
        if isinstance(part, str):
            owner = next(_models(owner.model_fields[part].annotation), None)
        if owner is not None and issubclass(owner, StageSpec) and isinstance(tables, Mapping):
            owner = registry.spec_type(Stage(str(location[0])), tables.get("use"))
    return owner


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _value(value: object, where: str) -> str:
    if any(word in where.casefold() for word in _SECRET_WORDS):
        return "(not shown)"
    if isinstance(value, Mapping | list | tuple):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    text = repr(value)
    # Credentials stand before the host: "scheme://name:password@host".
    if "://" in text and "@" in text:
        return "(a URL with credentials)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
