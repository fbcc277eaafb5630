"""How requests to one endpoint prove themselves, where it has secrets or headers of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.crypto.encryption import CannotDecrypt, Encryption
from pipeline.crypto.secrets import MAX_SECRETS, Secret
from pipeline.crypto.signer import Signer


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sender needs.

    Args:
        signer: None: that of the settings.
        headers: added to every request.
    """

    signer: Signer | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an endpoint's row holds, encrypted; each part may be missing.

    The origin is sealed with it: a row's content opens nothing in another row.
    """

    origin: str
    secrets: str | None = field(default=None, repr=False)
    headers: str | None = field(default=None, repr=False)

    def open_secrets(self, vault: Encryption) -> tuple[Secret, ...]:
        """Return the secrets, newest first; none where those of the settings sign.

        Raises:
            CannotDecrypt: the keys of this environment do not open them.
        """
        return tuple(_secret(each) for each in self._opened(vault, self.secrets) or ())

    def open_headers(self, vault: Encryption) -> dict[str, str]:
        """Return the headers, by name in lower case.

        Raises:
            CannotDecrypt: the keys of this environment do not open them.
        """
        return dict(self._opened(vault, self.headers) or {})

    def open(self, vault: Encryption) -> Credentials:
        """Return what a sender needs.

        Raises:
            CannotDecrypt: the keys of this environment do not open it.
            InvalidSecret: a secret cannot be used.
        """
        secrets = self.open_secrets(vault)
        return Credentials(Signer(secrets) if secrets else None, self.open_headers(vault))

    def _opened(self, vault: Encryption, token: str | None) -> Any:
        if token is None:
            return None
        found = vault.open(token)
        if found["origin"] != self.origin:
            raise CannotDecrypt(f"it was stored for {found['origin']}; set the secrets and headers anew")
        return found["value"]


def seal_secrets(vault: Encryption, origin: str, secrets: Sequence[Secret]) -> str | None:
    """Return what the row of an endpoint holds of its secrets; None where it has none."""
    value = [{"secret": each.text, "expires_at": _written(each.expires_at)} for each in secrets]
    return vault.seal({"origin": origin, "value": value}) if value else None


def seal_headers(vault: Encryption, origin: str, headers: Mapping[str, str]) -> str | None:
    """Return what the row of an endpoint holds of its headers; None where it has none."""
    return vault.seal({"origin": origin, "value": dict(headers)}) if headers else None


def rotated(newest: str, before: Sequence[Secret], now: datetime, grace: timedelta) -> tuple[Secret, ...]:
    """Return the secrets that sign from `now` on: the newest for good, those before it for `grace` at the most."""
    end = now + grace
    graced = [Secret(old.text, min(end, old.expires_at or end)) for old in before if old.text != newest]
    kept = [old for old in graced if not old.has_expired(now)]
    return (Secret(newest), *kept[: MAX_SECRETS - 1])


def _secret(stored: Mapping[str, Any]) -> Secret:
    end = stored["expires_at"]
    return Secret(stored["secret"], None if end is None else datetime.fromisoformat(end))


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
