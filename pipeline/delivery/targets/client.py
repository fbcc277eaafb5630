"""Sends one event to a message target: checks its URL, makes the message, and turns what happens into an answer."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.connections.connection import OpenedConnection
from pipeline.connections.destinations import CheckedTarget, Destinations
from pipeline.connections.tls import tls_context
from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.delivery import (
    BLOCKED,
    CLIENT_MISSING,
    CONNECTION_MISSING,
    INTERNAL,
    TIMEOUT,
    UNUSABLE,
    Answer,
    Owed,
)
from pipeline.delivery.rules.message import TargetMessage, make_message
from pipeline.delivery.targets.dial import ANYWHERE, Dialer
from pipeline.delivery.targets.link import Place, TargetFailure, TargetLink
from pipeline.delivery.targets.link_pool import LinkPool
from pipeline.delivery.targets.protocols import ENCRYPTED, PROTOCOLS, MissingClient
from pipeline.delivery.webhook.errors import code_of
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.body_text import KEPT_BYTES, body_text
from pipeline.domain.callback_url import ForbiddenCallbackUrl, parse_callback_url
from pipeline.domain.urls.host import bracketed
from pipeline.domain.urls.route import AmqpRoute, RedisRoute, Route, SqsRoute
from pipeline.errors import InvalidInput, InvalidSettings
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.delivery.webhook.ssrf_guard import Resolver

log = get_logger(__name__)

#: What an accepted message is recorded as: the target has it, and nobody has read it.
ACCEPTED = 202
#: URLs that are parsed and checked once, not at every attempt.
_KNOWN_URLS = 4_096


class TargetClient:
    """Sends events to the message targets that this deployment may use.

    Build it inside the running event loop; call `close` at the end.

    Args:
        signer: signs for endpoints that have no secrets of their own; None: their messages are not signed.
        resolver: looks up names; None: the operating system does.
        now: returns the time that leases are compared with.
    """

    def __init__(
        self,
        signer: Signer | None,
        destinations: Destinations,
        options: ClientOptions | None = None,
        resolver: Resolver | None = None,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._signer = signer
        self._options = options or ClientOptions()
        self._now = now
        allowed = tuple(destinations.allow_private)
        # An operator's connection may lead anywhere; a URL that somebody submitted only where callbacks may go.
        self._trusted = Dialer(ANYWHERE, public=True, resolver=resolver)
        self._guarded = {
            True: Dialer(allowed, public=True, resolver=resolver),
            False: Dialer(allowed, public=False, resolver=resolver),
        }
        self._links = LinkPool(self._options.connect_seconds)

        @lru_cache(_KNOWN_URLS)
        def checked(url: str) -> CheckedTarget:
            return destinations.check_target(parse_callback_url(url))

        self._checked = checked

    async def post(self, owed: Owed, at: datetime) -> Answer:
        """Make one attempt and return what the target says, or the code of what went wrong. Never raises.

        Args:
            at: the time of the attempt, which is part of the signature.
        """
        try:
            target = self._checked(owed.url)
        except ForbiddenCallbackUrl:
            is_connection = owed.origin.startswith("conn:")
            return Answer(error=CONNECTION_MISSING if is_connection else BLOCKED)
        except InvalidInput:
            return Answer(error=UNUSABLE)
        if target.callback.origin != owed.origin:
            return Answer(error=UNUSABLE)
        if self._now is not None and owed.lease_until is not None and self._now() >= owed.lease_until:
            # This process slept: another one may be sending it by now.
            return Answer(error=TIMEOUT)
        return await self._post(owed, target, at)

    async def close(self) -> None:
        """Close all links."""
        await self._links.close()
        for dialer in (self._trusted, *self._guarded.values()):
            await dialer.close()

    async def _post(self, owed: Owed, target: CheckedTarget, at: datetime) -> Answer:
        try:
            message = make_message(owed, at, self._signer)
            word = await self._links.use(
                _link_key(target),
                lambda: self._open(target),
                lambda link: link.send(message, target.route),
                self._options.deadline_seconds,
            )
        except TargetFailure as failure:
            return Answer(error=failure.code, text=_kept(failure.word))
        except MissingClient as error:
            return Answer(error=CLIENT_MISSING, text=str(error))
        except InvalidSettings as error:
            return Answer(error=CONNECTION_MISSING, text=str(error))
        except Exception as error:
            code = code_of(error)
            if code == INTERNAL:
                log.error("delivery_attempt_failed", delivery=owed.id, origin=owed.origin, error=type(error).__name__)
            return Answer(error=code)
        return Answer(status=ACCEPTED, text=_kept(word))

    async def _open(self, target: CheckedTarget) -> TargetLink:
        """Open a link. Here, and nowhere else, a connection gets its secrets."""
        open_link = PROTOCOLS[target.scheme].load(target.scheme)
        if target.connection is None:
            callback = target.callback
            hosts = f"{bracketed(callback.host)}:{callback.port}" if callback.port else callback.host
            return await open_link(self._place(target, hosts, self._guarded[callback.is_encrypted], None))
        opened = target.connection.open(target.rest)
        hosts = opened.url.partition("://")[2].partition("?")[0].partition("/")[0]
        try:
            link = await open_link(self._place(target, hosts, self._trusted, opened))
        except TargetFailure as failure:
            raise _masked(failure, opened) from None
        return _MaskedLink(link, opened)

    def _place(self, target: CheckedTarget, hosts: str, dial: Dialer, opened: OpenedConnection | None) -> Place:
        options = {} if opened is None else opened.options
        tls: ssl.SSLContext | None = tls_context(options) if target.scheme in ENCRYPTED else None
        return Place(target.scheme, hosts, dial, self._options.deadline_seconds, options, tls, _realm(target.route))


class _MaskedLink:
    """A link of a connection: what the target says is kept without the connection's secrets."""

    def __init__(self, link: TargetLink, opened: OpenedConnection) -> None:
        self._link, self._opened = link, opened

    @property
    def is_open(self) -> bool:
        return self._link.is_open

    async def send(self, message: TargetMessage, route: Route) -> str:
        try:
            return await self._link.send(message, route)
        except TargetFailure as failure:
            raise _masked(failure, self._opened) from None

    async def close(self) -> None:
        await self._link.close()


def _masked(failure: TargetFailure, opened: OpenedConnection) -> TargetFailure:
    return TargetFailure(failure.code, None if failure.word is None else opened.mask(failure.word))


def _link_key(target: CheckedTarget) -> Hashable:
    """Return what messages have in common that share a link: its place, and its part that a link is bound to."""
    return target.callback.origin, _realm(target.route)


def _realm(route: Route) -> str:
    """Return the part of a server that one connection is bound to."""
    match route:
        case AmqpRoute():
            return route.vhost
        case RedisRoute():
            return str(route.database)
        case SqsRoute():
            return f"{route.region}/{route.account}/{route.queue}"
    return ""


def _kept(word: str | None) -> str | None:
    return None if word is None else body_text(word.encode(errors="replace"), KEPT_BYTES, is_complete=True)
