"""Decrypted credentials of endpoints, cached so that sending does not pay for decryption."""

from __future__ import annotations

from pipeline.crypto.encryption import Encryption
from pipeline.delivery.rules.credentials import Credentials, Sealed
from pipeline.errors import PipelineError
from pipeline.log import get_logger

log = get_logger(__name__)


class CredentialsCache:
    """Caches credentials by the encrypted content of the endpoint's row. Not thread-safe."""

    def __init__(self, vault: Encryption | None = None) -> None:
        self._vault = vault or Encryption()
        self._opened: dict[str, tuple[Sealed, Credentials | None]] = {}

    def open(self, sealed: Sealed) -> Credentials | None:
        """Return an endpoint's credentials; None if they cannot be decrypted, which is logged once per content."""
        known, credentials = self._opened.get(sealed.origin, (None, None))
        if known != sealed:
            credentials = self._open(sealed)
            self._opened[sealed.origin] = (sealed, credentials)
        return credentials

    def _open(self, sealed: Sealed) -> Credentials | None:
        try:
            return sealed.open(self._vault)
        except PipelineError as error:
            log.error("endpoint_locked", origin=sealed.origin, reason=str(error))
            return None
