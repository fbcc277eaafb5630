"""`pipeline endpoints rotate-secret`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, format_duration, print_json
from pipeline.cli.streams import print_data
from pipeline.cli.time_arguments import parse_duration
from pipeline.crypto.ed25519_key import derive_public_key
from pipeline.crypto.secrets import fingerprint
from pipeline.delivery import endpoint_secrets as service
from pipeline.domain.callback_url import parse_callback_url


def _parse_grace(value: str | float) -> float:
    seconds = parse_duration(value)
    if not 0 <= seconds <= service.MAX_GRACE_SECONDS:
        raise click.BadParameter(f"{value} is out of range; expected 0 to {service.MAX_GRACE_SECONDS} seconds (7 days)")
    return seconds


@click.command("rotate-secret")
@options.origin
@click.option(
    "--grace",
    type=_parse_grace,
    default=service.DEFAULT_GRACE_SECONDS,
    show_default=True,
    metavar="DURATION",
    help="How long the previous secrets still sign as well: seconds, or 90m, 6h, 3d, 1w. 0 stops them at once.",
)
@click.option(
    "--asymmetric", is_flag=True, help="Generate a whsk_… key; the receiver verifies with its public key (whpk_…)."
)
@options.as_json
def rotate_secret(origin: str, grace: float, asymmetric: bool, as_json: bool) -> None:
    """Generate a new signing secret for an endpoint.

    The secret is printed once and never shown again. From the next attempt on, it signs instead of
    PIPELINE_WEBHOOK_SECRET. It is stored encrypted, which needs PIPELINE_ENCRYPTION_KEY.

    \b
    Examples:
      pipeline endpoints rotate-secret https://example.com
      pipeline endpoints rotate-secret https://example.com --grace 1w
      pipeline endpoints rotate-secret https://example.com --grace 0 --asymmetric
    """
    with open_backend(may_create=True) as backend:
        secret = backend.rotate_secret(origin, grace_seconds=grace, asymmetric=asymmetric)
    public_key = derive_public_key(secret) if asymmetric else None
    name = parse_callback_url(origin).origin
    if as_json:
        print_json(
            {
                "origin": name,
                "secret": secret,
                "public_key": public_key,
                "fingerprint": fingerprint(secret),
                "grace_seconds": grace,
            }
        )
        return
    messages = Messages()
    if public_key:
        messages.info(f"public key for the receiver: {public_key}")
    previous = (
        f"previous secrets sign for another {format_duration(grace)}" if grace else "previous secrets are revoked"
    )
    messages.info(f"new secret for {name}, not shown again; fingerprint {fingerprint(secret)}; {previous}")
    print_data(secret)
