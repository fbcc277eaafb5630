"""`pipeline secret`."""

from __future__ import annotations

import base64
import secrets

import click

#: 256 bits, as many as the signature has.
_BYTES = 32


@click.command()
def secret() -> None:
    """Print a fresh secret for PIPELINE_WEBHOOK_SECRET; receivers verify callbacks with the same.

    \b
    Examples:
      export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)
    """
    click.echo("whsec_" + base64.b64encode(secrets.token_bytes(_BYTES)).decode())
