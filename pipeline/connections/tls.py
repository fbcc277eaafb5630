"""TLS to servers that a connection names."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from pipeline.errors import InvalidSettings


def tls_context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Return the settings for TLS: 1.2 or newer, with the authorities of `ca_file`, SSL_CERT_FILE or the system.

    Raises:
        InvalidSettings: `ca_file` cannot be read.
    """
    ca_file = options.get("ca_file")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidSettings(f"ca_file names {ca_file!r}, which cannot be used: {reason}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
