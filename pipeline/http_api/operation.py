"""An operation: one method of one path, and everything that is said about it in the document and in tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from starlette.responses import Response

from pipeline.domain.api_key import Scope

if TYPE_CHECKING:
    from pipeline.http_api.call import ApiCall
    from pipeline.http_api.streaming.socket_call import SocketCall

Handler = Callable[["ApiCall"], Awaitable[Response]]
SocketHandler = Callable[["SocketCall"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Args:
        id: its `operationId`, such as `batches.create`.
        path: with `{names}`, as Starlette has them.
        scope: what a key needs; None: anybody may ask, unless `any_key`.
        summary: one line, in the imperative.
        handler: answers it; raises `Problem` or a `PipelineError`.
        query: the parameters after `?`; None: there are none.
        body: the JSON body; None: there is none, or it is read as a stream.
        bodies: media types of a body that is read as a stream.
        answer: the JSON answer; None: there is none, or `answers` says.
        answers: media types of answers that are not JSON.
        status: of a successful answer.
        other_statuses: further statuses without a problem, with what each says.
        problems: codes that it answers beside those that every operation may.
        any_key: whether every key may ask, whatever its scopes.
        takes_token: whether a stream token in the URL will do instead of a key, for the batch that the token is of.
        is_stream: whether the answer goes on for as long as there is something to tell.
        example: a body that works, or the values of parameters, for the document; a test sends it.
    """

    id: str
    method: str
    path: str
    scope: Scope | None
    summary: str
    handler: Handler
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    bodies: tuple[str, ...] = ()
    answer: type[BaseModel] | None = None
    answers: tuple[str, ...] = ()
    status: int = 200
    other_statuses: Mapping[int, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    any_key: bool = False
    takes_token: bool = False
    is_stream: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs_key(self) -> bool:
        """Whether a key has to be presented where one exists."""
        return self.scope is not None or self.any_key


@dataclass(frozen=True, slots=True)
class Socket(Operation):
    """A WebSocket. Its `handler` answers requests that do not ask for an upgrade.

    Args:
        converse: talks to the client once it was admitted; it accepts and closes the connection.
        subprotocol: what the client has to ask for.
    """

    converse: SocketHandler = field(kw_only=True)
    subprotocol: str = field(kw_only=True)
