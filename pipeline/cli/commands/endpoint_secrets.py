"""`pipeline endpoints rotate-secret` and `forget-secret`."""

from __future__ import annotations

import click

from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.show.endpoint import origin
from pipeline.cli.show.output import Talk, duration, print_json
from pipeline.cli.time_arguments import seconds
from pipeline.crypto.ed25519_key import derive_public_key
from pipeline.crypto.secrets import fingerprint
from pipeline.delivery import endpoint_secrets as service
from pipeline.domain.callback_url import parse_callback_url


def _grace(value: str | float) -> float:
    given = seconds(value)
    if not 0 <= given <= service.MAX_GRACE_SECONDS:
        raise click.BadParameter(
            f"{value} cannot be used; a grace is between 0 and 7 days ({service.MAX_GRACE_SECONDS} s)"
        )
    return given


@click.command("rotate-secret")
@origin
@click.option(
    "--grace",
    type=_grace,
    default=service.DEFAULT_GRACE_SECONDS,
    show_default=True,
    metavar="TIME",
    help="How long the secrets before it sign as well: seconds, or 90m, 6h, 3d, 1w; 0: no more.",
)
@click.option("--asymmetric", is_flag=True, help="Make a whsk_… that signs; the receiver verifies with its whpk_….")
@options.as_json
def rotate_secret(origin: str, grace: float, asymmetric: bool, as_json: bool) -> None:
    """Give an endpoint a new secret of its own, and print it: the only time it is shown.

    It signs from the next attempt on, in place of PIPELINE_WEBHOOK_SECRET. It is kept encrypted, which needs
    PIPELINE_ENCRYPTION_KEY.

    \b
    Examples:
      pipeline endpoints rotate-secret https://example.com
      pipeline endpoints rotate-secret https://example.com --grace 1w
      pipeline endpoints rotate-secret https://example.com --grace 0 --asymmetric
    """
    with opened(may_create=True) as context:
        made = service.rotate(context, origin, grace_seconds=grace, asymmetric=asymmetric)
    public_key = derive_public_key(made) if asymmetric else None
    name = parse_callback_url(origin).origin
    if as_json:
        print_json(
            {
                "origin": name,
                "secret": made,
                "public_key": public_key,
                "fingerprint": fingerprint(made),
                "grace_seconds": grace,
            }
        )
        return
    talk = Talk()
    if public_key:
        talk.say(f"the receiver verifies with {public_key}")
    until = f"those before it sign as well for {duration(grace)}" if grace else "those before it sign no more"
    talk.say(f"new secret of {name}, not shown again; fingerprint {fingerprint(made)}; {until}")
    click.echo(made)


@click.command("forget-secret")
@origin
@options.yes
@options.as_json
def forget_secret(origin: str, yes: bool, as_json: bool) -> None:
    """Drop an endpoint's own secrets and headers, readable or not; PIPELINE_WEBHOOK_SECRET signs again.

    \b
    Examples:
      pipeline endpoints forget-secret https://example.com
      pipeline endpoints forget-secret https://example.com --yes
    """
    name = parse_callback_url(origin, name="the endpoint").origin
    with opened() as context:
        own = service.describe(context, origin)
        has_none = own.locked is None and not own.secrets and not own.headers
        options.confirm(f"Drop the secrets and headers of {name}?", yes or has_none)
        service.forget(context, origin)
    if as_json:
        print_json({"origin": name})
        return
    Talk().say(f"{name} has no secrets or headers of its own any more; those of PIPELINE_WEBHOOK_SECRET sign")
