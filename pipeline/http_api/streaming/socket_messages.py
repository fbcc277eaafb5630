"""The messages of a WebSocket's client."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.domain import bounds
from pipeline.domain.did_you_mean import hint
from pipeline.domain.event import EventType
from pipeline.domain.validation_text import describe_error
from pipeline.http_api.parameters import BodyModel

_MAX_CREDIT = 1_000_000
_EVENT_TYPES = [each.value for each in EventType]

Credit = Annotated[int, Field(ge=1, le=_MAX_CREDIT)]
Seq = Annotated[int, Field(ge=0, le=bounds.SEQ.most)]
Types = Annotated[list[str], Field(min_length=1, max_length=20)]
BatchName = Annotated[str, Field(max_length=100)]


class RefusedMessage(Exception):
    """A message of the client cannot be followed; the connection stays open."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


class SubscribeMessage(BodyModel):
    """Send the events of a batch that follow a `seq`, and those to come."""

    op: Literal["subscribe"]
    batch: BatchName
    after: Seq | Literal["latest"] = 0
    types: Types | None = None
    credit: Credit | None = None

    @property
    def chosen_types(self) -> frozenset[str] | None:
        """The types of events to send; None: all."""
        return None if self.types is None else frozenset(self.types)


class CreditMessage(BodyModel):
    """Send `n` more events of a batch."""

    op: Literal["credit"]
    batch: BatchName
    n: Credit


class UnsubscribeMessage(BodyModel):
    """Send no more events of a batch."""

    op: Literal["unsubscribe"]
    batch: BatchName


ClientMessage = SubscribeMessage | CreditMessage | UnsubscribeMessage
_MODELS: dict[str, TypeAdapter[Any]] = {
    "subscribe": TypeAdapter(SubscribeMessage),
    "credit": TypeAdapter(CreditMessage),
    "unsubscribe": TypeAdapter(UnsubscribeMessage),
}


def read_message(value: dict[str, Any]) -> ClientMessage:
    """Return a message.

    Raises:
        RefusedMessage: unknown_op, invalid_request.
    """
    op = value.get("op")
    model = _MODELS.get(op) if isinstance(op, str) else None
    if model is None:
        near = hint(op, _MODELS) if isinstance(op, str) else ""
        raise RefusedMessage("unknown_op", f"op is {bounds.shown(op)}{near}; there are {', '.join(_MODELS)}")
    try:
        found: ClientMessage = model.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:1])) or "the message"
        raise RefusedMessage("invalid_request", f"{where}: {describe_error(first)}") from None
    if isinstance(found, SubscribeMessage):
        for each in found.types or ():
            if each not in _EVENT_TYPES:
                near = hint(each, _EVENT_TYPES)
                raise RefusedMessage("invalid_request", f"types: there is no event {bounds.shown(each)}{near}")
    return found
