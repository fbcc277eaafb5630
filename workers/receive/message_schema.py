"""The shape of messages: whoever can reach the broker can write anything into it."""

from __future__ import annotations

from typing import Annotated, Any

from celery.exceptions import InvalidTaskError
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from pipeline.broker.messages import ITEM_TASKS


class Malformed(InvalidTaskError):
    """A message does not fit its task. The text says what is wrong and where, and quotes nothing."""


_MOST = 2**63 - 1
_ITEM_TASKS = frozenset(ITEM_TASKS.values())


def _known(name: str) -> str:
    if name not in _ITEM_TASKS:
        raise ValueError("no task of an item")
    return name


#: An item and its epoch, as the database stores them.
_Arguments = tuple[
    Annotated[int, Field(strict=True, ge=1, le=_MOST)], Annotated[int, Field(strict=True, ge=0, le=_MOST)]
]


class _Options(BaseModel):
    task_id: str


class _Signature(BaseModel):
    task: Annotated[str, AfterValidator(_known)]
    args: _Arguments
    options: _Options


class _Embedded(BaseModel):
    chain: list[_Signature] | None = None


class _Headers(BaseModel):
    id: str
    root_id: str | None = None
    parent_id: str | None = None


_Nothing = Annotated[list[Any], Field(max_length=0)]

_headers: TypeAdapter[Any] = TypeAdapter(_Headers)
#: Bodies: arguments, named arguments, and what is embedded.
_of_item: TypeAdapter[Any] = TypeAdapter(tuple[_Arguments, dict[str, Any], _Embedded | None])
_of_nudge: TypeAdapter[Any] = TypeAdapter(tuple[_Nothing, dict[str, Any], dict[str, Any] | None])


def check_item(headers: Any, body: Any) -> None:
    """Check a message about an item.

    Raises:
        Malformed: it is not one.
    """
    if _is_as_published(headers, body):
        return
    _check("headers", _headers, headers)
    _check("body", _of_item, body)


def check_nudge(headers: Any, body: Any) -> None:
    """Check a message of a task without arguments.

    Raises:
        Malformed: it is not one.
    """
    _check("headers", _headers, headers)
    _check("body", _of_nudge, body)


def _is_as_published(headers: Any, body: Any) -> bool:
    """Return whether a message is as pipeline publishes it. The models accept more, and take twenty times as long."""
    try:
        arguments, named, embedded = body
        return (
            type(body) is list
            and type(named) is dict
            and _are_arguments(arguments)
            and type(headers["id"]) is str
            and type(headers["root_id"]) is str
            and type(headers.get("parent_id")) in (str, type(None))
            and _are_signatures(embedded["chain"])
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _are_arguments(arguments: Any) -> bool:
    item, epoch = arguments
    is_list_of_integers = type(arguments) is list and type(item) is int and type(epoch) is int
    return is_list_of_integers and 1 <= item <= _MOST and 0 <= epoch <= _MOST


def _are_signatures(chain: Any) -> bool:
    return chain is None or (type(chain) is list and all(map(_is_signature, chain)))


def _is_signature(signature: Any) -> bool:
    is_known = type(signature) is dict and signature["task"] in _ITEM_TASKS
    return is_known and _are_arguments(signature["args"]) and type(signature["options"]["task_id"]) is str


def _check(part: str, shape: TypeAdapter[Any], value: Any) -> None:
    try:
        shape.validate_python(value)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = "".join(f"[{step!r}]" for step in wrong["loc"])
        raise Malformed(f"{part}{place}: {wrong['msg']}") from None
