"""Where results may go: webhooks, message targets that are allowed by host, and connections of the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline.connections.connection import ConnectionUse, NamedConnection, NamedConnections, join_rest
from pipeline.domain.callback_url import (
    Callback,
    ForbiddenCallbackUrl,
    InvalidCallbackUrl,
    check_callback_url,
    check_reachable,
    parse_callback_url,
    url_message,
)
from pipeline.domain.ip_ranges import Network
from pipeline.domain.urls.allowed_targets import is_target_allowed
from pipeline.domain.urls.connection_url import SCHEME as CONNECTION
from pipeline.domain.urls.connection_url import split_connection_url
from pipeline.domain.urls.host import UrlProblem
from pipeline.domain.urls.route import ROUTED, Route, parse_route
from pipeline.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A message target that may be used.

    Args:
        scheme: of the protocol; for a connection, that of its URL.
        connection: None for a target whose URL names the host.
        rest: of `conn://NAME/rest`.
    """

    callback: Callback
    scheme: str
    route: Route
    connection: NamedConnection | None = None
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Destinations:
    """Decides where results may go.

    Args:
        allow_private: networks that may be reached although they are private, over unencrypted protocols as well.
        allow_targets: hosts that targets may name without a connection.
        connections: what `conn://NAME` names.
        tenant: who asks; None: the operator.
    """

    allow_private: Sequence[Network] = ()
    allow_targets: Sequence[str] = ()
    connections: NamedConnections = field(default_factory=NamedConnections)
    tenant: str | None = None

    def for_tenant(self, tenant: str) -> Destinations:
        """Return where a tenant of the HTTP API may send results."""
        return replace(self, tenant=tenant)

    @property
    def has_targets(self) -> bool:
        """Whether any message target may be used at all."""
        return bool(self.allow_targets) or any(ConnectionUse.TARGETS in each.uses for each in self.connections)

    def check(self, url: str, *, name: str = "callback_url") -> Callback:
        """Return a normalized URL if results may be sent there.

        Args:
            name: what messages call the URL.

        Raises:
            InvalidCallbackUrl: it is malformed, or the protocol could not take what it names.
            ForbiddenCallbackUrl: this deployment does not send there.
        """
        callback = parse_callback_url(url, name=name)
        if not callback.is_target:
            return check_callback_url(url, self.allow_private, name=name)
        return self.check_target(callback, name=name).callback

    def check_endpoint(self, url: str, *, name: str = "the endpoint") -> Callback:
        """Return a normalized URL if results may be sent to its endpoint, whatever else the URL says."""
        callback = parse_callback_url(url, name=name)
        if not callback.is_target:
            return check_callback_url(url, self.allow_private, name=name)
        try:
            self._check_permission(callback)
        except UrlProblem as problem:
            raise ForbiddenCallbackUrl(url_message(url, problem), name) from None
        return callback

    def check_target(self, callback: Callback, *, name: str = "callback_url") -> CheckedTarget:
        """Return a message target if it may be used.

        Raises:
            InvalidCallbackUrl, ForbiddenCallbackUrl: as `check`.
        """
        try:
            connection = self._check_permission(callback)
        except UrlProblem as problem:
            raise ForbiddenCallbackUrl(url_message(callback.url, problem), name) from None
        try:
            if connection is None:
                return CheckedTarget(callback, callback.scheme, parse_route(callback.url))
            rest = split_connection_url(callback.url).rest
            route = parse_route(join_rest(connection.url, rest))
            return CheckedTarget(callback, connection.scheme, route, connection, rest)
        except UrlProblem as problem:
            raise InvalidCallbackUrl(url_message(callback.url, problem), name) from None

    def _check_permission(self, callback: Callback) -> NamedConnection | None:
        """Return the connection of a target; None if its URL names an allowed host."""
        if callback.scheme == CONNECTION:
            return self._connection(callback.host)
        place = callback.origin.removeprefix("sqs://") if callback.scheme == "sqs" else callback.host
        if not is_target_allowed(callback.scheme, place, self.allow_targets):
            raise UrlProblem(
                f"has the host {place!r}, which is not allowed for targets; name it in PIPELINE_ALLOW_TARGETS or use a "
                "connection"
            )
        if callback.scheme != "sqs":
            check_reachable(callback, self.allow_private)
        return None

    def _connection(self, name: str) -> NamedConnection:
        try:
            found = self.connections.get(name, ConnectionUse.TARGETS, tenant=self.tenant)
        except InvalidInput as error:
            raise UrlProblem(f"cannot be used: {error}") from None
        if found.scheme not in ROUTED:
            raise UrlProblem(f"names a connection to {found.scheme}, which takes no messages")
        return found
