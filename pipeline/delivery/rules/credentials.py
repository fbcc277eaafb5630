"""Secrets and headers of single endpoints: sealed, opened and rotated."""

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
    """The opened credentials of an endpoint.

    Args:
        signer: signs its requests; None: the settings' signer does.
        headers: added to every request.
    """

    signer: Signer | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The encrypted credentials in an endpoint's row; either part may be missing.

    The origin is encrypted with them, so the content of one row cannot be used in another.
    """

    origin: str
    secrets: str | None = field(default=None, repr=False)
    headers: str | None = field(default=None, repr=False)

    def open_secrets(self, vault: Encryption) -> tuple[Secret, ...]:
        """Return the secrets, newest first; empty if those of the settings sign.

        Raises:
            CannotDecrypt: the keys of this environment cannot decrypt them.
        """
        return tuple(_secret(each) for each in self._opened(vault, self.secrets) or ())

    def open_headers(self, vault: Encryption) -> dict[str, str]:
        """Return the headers by lower-case name.

        Raises:
            CannotDecrypt: the keys of this environment cannot decrypt them.
        """
        return dict(self._opened(vault, self.headers) or {})

    def open(self, vault: Encryption) -> Credentials:
        """Decrypt the credentials.

        Raises:
            CannotDecrypt: the keys of this environment cannot decrypt them.
            InvalidSecret: a secret is invalid.
        """
        secrets = self.open_secrets(vault)
        return Credentials(Signer(secrets) if secrets else None, self.open_headers(vault))

    def _opened(self, vault: Encryption, token: str | None) -> Any:
        if token is None:
            return None
        found = vault.decrypt(token)
        if found["origin"] != self.origin:
            raise CannotDecrypt(f"it was stored for {found['origin']}; set the secrets and headers again")
        return found["value"]


def seal_secrets(vault: Encryption, origin: str, secrets: Sequence[Secret]) -> str | None:
    """Return an endpoint's secrets, encrypted for its row; None if it has none."""
    value = [{"secret": each.text, "expires_at": _written(each.expires_at)} for each in secrets]
    return vault.encrypt({"origin": origin, "value": value}) if value else None


def seal_headers(vault: Encryption, origin: str, headers: Mapping[str, str]) -> str | None:
    """Return an endpoint's headers, encrypted for its row; None if it has none."""
    return vault.encrypt({"origin": origin, "value": dict(headers)}) if headers else None


def rotated(newest: str, before: Sequence[Secret], now: datetime, grace: timedelta) -> tuple[Secret, ...]:
    """Return the secrets that sign from `now` on: the newest without end, earlier ones for at most `grace`."""
    end = now + grace
    graced = [Secret(old.text, min(end, old.expires_at or end)) for old in before if old.text != newest]
    kept = [old for old in graced if not old.has_expired(now)]
    return (Secret(newest), *kept[: MAX_SECRETS - 1])


def _secret(stored: Mapping[str, Any]) -> Secret:
    end = stored["expires_at"]
    return Secret(stored["secret"], None if end is None else datetime.fromisoformat(end))


def _written(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
