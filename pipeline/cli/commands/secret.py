"""`pipeline secret`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.show.output import Talk, print_json
from pipeline.crypto.ed25519_key import derive_public_key, new_signing_secret
from pipeline.crypto.encryption import new_encryption_key
from pipeline.crypto.secrets import new_secret


@click.command()
@click.option(
    "--asymmetric", is_flag=True, help="Make a whsk_… that signs; receivers get the whpk_… on standard error, no more."
)
@click.option(
    "--encryption-key",
    is_flag=True,
    help="Make a key for PIPELINE_ENCRYPTION_KEY: endpoints' own secrets are kept by it.",
)
@options.as_json
def secret(asymmetric: bool, encryption_key: bool, as_json: bool) -> None:
    """Print a fresh secret for PIPELINE_WEBHOOK_SECRET; receivers verify callbacks with the same.

    \b
    Examples:
      export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)
      export PIPELINE_WEBHOOK_SECRET=$(pipeline secret --asymmetric)
      export PIPELINE_ENCRYPTION_KEY=$(pipeline secret --encryption-key)
    """
    if asymmetric and encryption_key:
        raise click.UsageError("--asymmetric and --encryption-key make different things; give one of them")
    made = new_encryption_key() if encryption_key else new_signing_secret() if asymmetric else new_secret()
    public_key = derive_public_key(made) if asymmetric else None
    if as_json:
        print_json({"secret": made, "public_key": public_key})
        return
    if public_key:
        Talk().say(f"receivers verify with {public_key}")
    click.echo(made)
