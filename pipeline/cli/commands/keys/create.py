"""`pipeline keys create`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import click

from pipeline.access import keys as service
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.key import print_new_key
from pipeline.cli.time_arguments import parse_lifetime
from pipeline.domain.api_key import Scope
from pipeline.domain.did_you_mean import hint
from pipeline.domain.tenant import DEFAULT_TENANT

_NAMES = [scope.value for scope in Scope]
_SCOPES = ", ".join(_NAMES)


class ScopesType(click.ParamType[tuple[Scope, ...]]):
    """Scopes, separated by commas."""

    name = "scopes"

    def convert(
        self, value: str | tuple[Scope, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Scope, ...]:
        if not isinstance(value, str):
            return value
        names = [part.strip() for part in value.split(",")]
        unknown = [name for name in names if name not in _NAMES]
        if unknown:
            self.fail(f"there is no scope {unknown[0]!r}; choose from {_SCOPES}{hint(unknown[0], _NAMES)}", param, ctx)
        return tuple(map(Scope, names))


@click.command()
@click.argument("name")
@click.option(
    "--tenant",
    default=DEFAULT_TENANT,
    show_default=True,
    metavar="TENANT",
    help="Whose batches the key sees and submits; * for operators, who see everybody's.",
)
@click.option(
    "--scope",
    "scopes",
    type=ScopesType(),
    multiple=True,
    metavar="SCOPE,…",
    help=f"What the key may do: {_SCOPES}; can be repeated.  [default: read,submit]",
)
@click.option(
    "--expires", type=parse_lifetime, metavar="DURATION", help="Let the key expire: 12h, 90d, 52w. Default: never."
)
@click.option(
    "--rate",
    type=click.FloatRange(service.RATE.least, service.RATE.most),
    default=service.DEFAULT_RATE,
    show_default=True,
    metavar="N",
    help="Requests per second, in the long run; twice as many may come at once.",
)
@options.as_json
def create(
    name: str,
    tenant: str,
    scopes: Sequence[tuple[Scope, ...]],
    expires: float | None,
    rate: float,
    as_json: bool,
) -> None:
    """Create an API key and print it.

    The key is printed once and never shown again; only its hash is stored. NAME is for people and need not be unique.

    \b
    Scopes:
      read      see batches, items, results, callbacks, endpoints and definitions, without payloads
      payloads  see payloads, and replay an item with another one
      submit    submit batches and store definitions
      operate   pause, resume, cancel, replay, enable and disable
      admin     configure endpoints, manage keys, submit definitions that run code or read files

    \b
    Examples:
      pipeline keys create shop
      pipeline keys create ops --tenant '*' --scope read,payloads,operate,admin
      export PIPELINE_API_KEY=$(pipeline keys create nightly --expires 90d --rate 10)
    """
    chosen = tuple(scope for group in scopes for scope in group) or service.DEFAULT_SCOPES
    lifetime = None if expires is None else timedelta(seconds=expires)
    with open_context(may_create=True) as context:
        key = service.create(context, name, tenant=tenant, scopes=chosen, rate=rate, lifetime=lifetime)
    print_new_key(key, as_json=as_json, message=f"new key for {tenant!r}: {', '.join(chosen)}; it is not shown again")
