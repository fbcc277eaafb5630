"""`pipeline secret`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.show.output import Messages, print_json
from pipeline.cli.streams import print_data
from pipeline.crypto.ed25519_key import derive_public_key, new_signing_secret
from pipeline.crypto.encryption import new_encryption_key
from pipeline.crypto.secrets import new_secret


@click.command()
@click.option(
    "--asymmetric",
    is_flag=True,
    help="Generate a whsk_… key. Its public key (whpk_…), all that receivers need, is printed to standard error.",
)
@click.option(
    "--encryption-key",
    is_flag=True,
    help="Generate a key for PIPELINE_ENCRYPTION_KEY, which encrypts endpoints' own secrets and headers.",
)
@options.as_json
def secret(asymmetric: bool, encryption_key: bool, as_json: bool) -> None:
    """Generate a secret for signing callbacks.

    Set PIPELINE_WEBHOOK_SECRET to it. Receivers verify callbacks with the same secret, or with the public key.

    \b
    Examples:
      export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)
      export PIPELINE_WEBHOOK_SECRET=$(pipeline secret --asymmetric)
      export PIPELINE_ENCRYPTION_KEY=$(pipeline secret --encryption-key)
    """
    if asymmetric and encryption_key:
        raise click.UsageError("--asymmetric and --encryption-key cannot be combined")
    generated = new_encryption_key() if encryption_key else new_signing_secret() if asymmetric else new_secret()
    public_key = derive_public_key(generated) if asymmetric else None
    if as_json:
        print_json({"secret": generated, "public_key": public_key})
        return
    if public_key:
        Messages().info(f"public key for receivers: {public_key}")
    print_data(generated)
