"""Sends one webhook: checks its URL, signs it, and hands it to the HTTP client."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.credentials import Credentials
from pipeline.delivery.rules.delivery import BLOCKED, INTERNAL, UNUSABLE, Answer, Owed
from pipeline.delivery.webhook.http_client import open_http_client
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.callback_url import Callback, ForbiddenCallbackUrl, InvalidCallbackUrl, check_callback_url
from pipeline.domain.ip_ranges import Network
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.delivery.webhook.ssrf_guard import Resolver

log = get_logger(__name__)

_NO_CREDENTIALS = Credentials()
#: URLs that are parsed and checked once, not at every attempt.
_KNOWN_URLS = 4_096


def _user_agent() -> str:
    try:
        return f"pipeline/{version('pipeline')}"
    except PackageNotFoundError:
        return "pipeline/0"


USER_AGENT = _user_agent()
#: Sent with every webhook; an endpoint's own headers override them.
DEFAULT_HEADERS = {
    "content-type": "application/json",
    "user-agent": USER_AGENT,
    "accept": "*/*",
    "accept-encoding": "identity",
}


class WebhookClient:
    """Sends signed webhooks to the URLs that this deployment may call.

    Build it inside the running event loop; call `close` at the end.

    Args:
        signer: signs for endpoints that have no secrets of their own.
        allow: CIDRs that callbacks may reach although they are private, plain http included.
        resolver: looks up names; None: the operating system does.
    """

    def __init__(
        self,
        signer: Signer,
        allow: Sequence[Network] = (),
        options: ClientOptions | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._signer = signer
        networks = tuple(allow)
        self._http = open_http_client(networks, options or ClientOptions(), resolver)

        @lru_cache(_KNOWN_URLS)
        def checked(url: str) -> Callback:
            return check_callback_url(url, networks)

        self._checked = checked

    async def post(self, owed: Owed, at: datetime) -> Answer:
        """Make one attempt and return the response, or the code of what went wrong. Never raises.

        Args:
            at: the time of the attempt, which is part of the signature.
        """
        try:
            callback = self._checked(owed.url)
        except ForbiddenCallbackUrl:
            return Answer(error=BLOCKED)
        except InvalidCallbackUrl:
            return Answer(error=UNUSABLE)
        if owed.credentials is not None and callback.origin != owed.origin:
            # An endpoint's secrets and headers must not reach another endpoint.
            return Answer(error=UNUSABLE)
        try:
            return await self._http.post(callback, self._headers(owed, int(at.timestamp())), owed.body)
        except Exception as error:
            log.error("delivery_attempt_failed", delivery=owed.id, origin=owed.origin, error=type(error).__name__)
            return Answer(error=INTERNAL)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    def _headers(self, owed: Owed, timestamp: int) -> dict[str, str]:
        own = owed.credentials or _NO_CREDENTIALS
        signer = own.signer or self._signer
        return {
            **DEFAULT_HEADERS,
            "webhook-id": owed.webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signer.sign(owed.webhook_id, timestamp, owed.body),
            "webhook-attempt": str(owed.attempt),
            **own.headers,
        }
