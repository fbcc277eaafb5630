"""Endpoints on a server: the methods of `Endpoint`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from pipeline.client.endpoint import EndpointChanges, EndpointInfo, EndpointSettings, PingResult
from pipeline.client.remote.answers import with_times
from pipeline.client.remote.server import Server, segment
from pipeline.crypto.ed25519_key import new_signing_secret
from pipeline.crypto.secrets import new_secret
from pipeline.delivery.endpoint_secrets import DEFAULT_GRACE_SECONDS, KnownSecret
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_settings import check_settings
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.domain.bounds import invalid
from pipeline.domain.callback_url import parse_callback_url
from pipeline.errors import InvalidInput

_TIMES = (
    "since", "until", "oldest_due_at", "last_success_at", "last_failure_at", "failing_since", "not_before",
    "open_until",
)  # fmt: skip


class RemoteEndpoint:
    """What receives callbacks: a scheme, host and port. Made by `client.endpoint`; has the methods of `Endpoint`.

    Attributes:
        origin: `scheme://host:port`.
    """

    def __init__(self, server: Server, url: str) -> None:
        self._server = server
        self._url = url
        self.origin: str = parse_callback_url(url, name="the endpoint").origin
        self._path = endpoint_path(self.origin)

    def __repr__(self) -> str:
        return f"RemoteEndpoint({self.origin!r})"

    def show(self) -> EndpointInfo:
        """Return what is known of the endpoint; see `Endpoint.show`.

        Raises:
            NotFound: Nothing is known of it, or only by other tenants.
        """
        return info_of(self._server.get(self._path))

    def configure(
        self, *, headers: Mapping[str, str | None] | None = None, **changes: Unpack[EndpointChanges]
    ) -> EndpointInfo:
        """Change settings, all or none, from the next attempt on, and return the endpoint; see `Endpoint.configure`.

        Raises:
            InvalidInput: There is no such setting, or a value cannot be used.
            InvalidHeader: A header cannot be sent.
            EndpointOwned: Another tenant configured it, or uses it too.
            AccessDenied: The API key lacks the scope `admin`.
            CannotDecrypt: The server has no key to encrypt headers, or cannot read the present ones.
        """
        check_settings(changes)
        if headers is not None and not isinstance(headers, Mapping):
            raise invalid("headers", headers, "a mapping of names to values")
        body: dict[str, Any] = dict(changes) if headers is None else {**changes, "headers": dict(headers)}
        return info_of(self._server.change("PATCH", self._path, body, is_repeatable=True))

    def enable(self) -> int:
        """Call the endpoint again at once, send what was paused, and return how many; see `Endpoint.enable`.

        Raises:
            NotFound: Nothing is known of the endpoint.
        """
        return int(self._server.change("POST", f"{self._path}/enable", is_repeatable=True)["deliveries"])

    def disable(self, reason: str | None = None) -> int:
        """Stop calling the endpoint, and return how many deliveries are paused; see `Endpoint.disable`.

        Raises:
            InvalidInput: The reason is not one line of 1 to 200 characters.
            NotFound: None of the tenant's batches names the endpoint.
        """
        body = {"reason": reason}
        return int(self._server.change("POST", f"{self._path}/disable", body, is_repeatable=True)["deliveries"])

    def test(self, url: str | None = None) -> PingResult:
        """Have the server send one signed `webhook.ping` now; see `Endpoint.test`.

        Raises:
            InvalidInput: The URL belongs to another endpoint, or there is no secret to sign with.
            InvalidCallbackUrl, ForbiddenCallbackUrl: The URL cannot be called back.
            NotFound: None of the tenant's batches names the endpoint.
        """
        chosen = self._url if url is None else url
        if parse_callback_url(chosen, name="the URL").origin != self.origin:
            raise InvalidInput(f"the URL is not of {self.origin}; `client.endpoint(url).test()` takes any")
        found = self._server.change("POST", f"{self._path}/test", {"url": chosen}, is_repeatable=True)
        return PingResult(**{name: found[name] for name in PingResult.__slots__})

    def rotate_secret(
        self,
        *,
        grace_seconds: float = DEFAULT_GRACE_SECONDS,
        asymmetric: bool = False,
        secret: str | None = None,
    ) -> str:
        """Give the endpoint a new secret and return it; see `Endpoint.rotate_secret`.

        Raises:
            InvalidInput: The grace period cannot be used.
            InvalidSecret: The secret cannot be used.
            AccessDenied: The API key lacks the scope `admin`.
            CannotDecrypt: The server has no key to encrypt it, or cannot read the present secrets.
        """
        # Made here: a request whose answer was lost can then be sent again.
        made = secret or (new_signing_secret() if asymmetric else new_secret())
        body = {"secret": made, "grace_seconds": grace_seconds}
        return str(self._server.change("POST", f"{self._path}/rotate-secret", body, is_repeatable=True)["secret"])

    def forget_secret(self) -> None:
        """Drop the endpoint's own secrets and headers; see `Endpoint.forget_secret`.

        Raises:
            NotFound: It has none.
        """
        self._server.change("DELETE", f"{self._path}/secrets")


def endpoint_path(origin: str) -> str:
    """Return the path of an endpoint."""
    return f"/v1/endpoints/{segment(origin)}"


def endpoint_values(found: dict[str, Any]) -> dict[str, Any]:
    """Return an endpoint as a server shows it, with its times as instants."""
    return with_times(found, *_TIMES) | {
        "secrets": [with_times(each, "expires_at") for each in found["secrets"]],
        "notices": [with_times(each, "at") for each in found["notices"]],
    }


def info_of(found: dict[str, Any]) -> EndpointInfo:
    """Return what a server tells of an endpoint."""
    values = {name: value for name, value in endpoint_values(found).items() if name in EndpointInfo.__slots__}
    return EndpointInfo(
        **values
        | {
            "state": EndpointState(found["state"]),
            "settings": EndpointSettings(**found["settings"]),
            "secrets": tuple(KnownSecret(**each) for each in values["secrets"]),
            "headers": tuple(found["headers"]),
            "backlog": {DeliveryState(state): number for state, number in found["backlog"].items()},
            "notices": tuple(Notice(**each | {"type": NoticeType(each["type"])}) for each in values["notices"]),
        }
    )
