"""`pipeline flower`."""

from __future__ import annotations

import secrets
from ipaddress import ip_address

import click

from pipeline import settings
from pipeline.cli.checks.broker import check_broker
from pipeline.cli.checks.check import CheckStatus
from pipeline.cli.run import log_output
from pipeline.cli.show.output import Talk
from pipeline.errors import InvalidInput, InvalidSettings, Unreachable
from pipeline.settings import Settings

#: Who signs in where nobody has chosen a name.
_USER = "pipeline"
#: 128 bits.
_PASSWORD_BYTES = 16


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Listen on this address.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=5555, show_default=True, help="And on this port; 0: any free one."
)
@click.option("--url-prefix", metavar="PATH", help="Where a proxy shows it below a path of its own: that path.")
@click.option(
    "--broker-api",
    metavar="URL",
    help="RabbitMQ only: its management API, which knows how long queues are. Default: port 15672 of the broker's "
    "host. Needs RabbitMQ's management plugin.",
)
@click.option(
    "--max-tasks", type=click.IntRange(1), default=10_000, show_default=True, help="Keep so many tasks in memory."
)
@click.option("--allow-control", is_flag=True, help="Let who signs in stop workers, change pools and send tasks.")
@click.option("--no-auth", is_flag=True, help="Let everybody on this machine look, without signing in.")
def flower(
    address: str,
    port: int,
    url_prefix: str | None,
    broker_api: str | None,
    max_tasks: int,
    allow_control: bool,
    no_auth: bool,
) -> None:
    """Show tasks, workers and queues in a browser, with Flower.

    Each item is a task `items.classify` and one `items.enrich`; their ids say which item, which stage and which
    release. Batches, results and what is dead are in `pipeline status`, `results` and `dead`.

    RabbitMQ's management API is asked with the broker's user and password. Another user is named in
    PIPELINE_FLOWER_BROKER_API=http://user:password@host:15672/api/, never on the command line.

    PIPELINE_FLOWER_AUTH=user:password says who may sign in; without it a password is made and printed. Nothing is
    kept when it stops. `/healthcheck` and `/metrics` answer without signing in: they hold names of workers and
    tasks, and numbers. Ctrl-C or SIGTERM ends it.

    \b
    Examples:
      pipeline flower
      pipeline flower --port 8080 --url-prefix flower
      pipeline flower --broker-api http://rabbitmq.internal:15672/api/
    """
    log_output.show()
    chosen = settings.load()
    _refuse_unsafe(address, no_auth=no_auth, allow_control=allow_control)
    broker_api = _management_api(broker_api, chosen)
    _refuse_without_broker(chosen)
    try:
        from pipeline.cli.run import flower_server
    except ImportError as error:
        raise InvalidInput(f"Flower is not installed ({error.name or error}): pip install 'pipeline[flower]'") from None
    auth, hint = (None, "") if no_auth else _credentials(chosen)
    flower_server.serve(
        flower_server.Options(
            address=address,
            port=port,
            auth=auth,
            url_prefix=url_prefix,
            broker_api=broker_api,
            max_tasks=max_tasks,
            is_read_only=not allow_control,
        ),
        on_ready=lambda url: Talk().say(f"Flower listens on {url}{hint}"),
    )


def _refuse_unsafe(address: str, *, no_auth: bool, allow_control: bool) -> None:
    if no_auth and not _is_loopback(address):
        raise InvalidInput(
            f"--no-auth with --address {address} would show tasks to the network; "
            "set PIPELINE_FLOWER_AUTH=user:password instead"
        )
    if no_auth and allow_control:
        raise InvalidInput(
            "--no-auth with --allow-control would let any web page stop workers through its visitor's browser; "
            "leave out one of them"
        )


def _management_api(given: str | None, chosen: Settings) -> str | None:
    if given is None:
        return chosen.flower_broker_api.get_secret_value() if chosen.flower_broker_api else None
    # Every user of the machine can read the arguments of a process.
    if "@" in given:
        raise InvalidInput(
            "--broker-api names a user or password, which everybody on this machine could read; leave them out for "
            "those of the broker, or put the whole URL into PIPELINE_FLOWER_BROKER_API instead"
        )
    return given


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _refuse_without_broker(chosen: Settings) -> None:
    if chosen.is_embedded:
        raise InvalidSettings(
            "there is nothing to watch: PIPELINE_BROKER_URL is not set, so that workers live in the process of "
            "`pipeline run`, which shows its progress; `pipeline status` shows batches"
        )
    for check in check_broker(chosen):
        if check.verdict is CheckStatus.UNREACHABLE:
            raise Unreachable(f"the broker does not answer: {check.value}; {check.advice}")


def _credentials(chosen: Settings) -> tuple[str, str]:
    """Return `user:password`, and what a person must be told of it: a password that is made is said once."""
    if chosen.flower_auth is not None:
        return chosen.flower_auth.get_secret_value(), ""
    made = secrets.token_urlsafe(_PASSWORD_BYTES)
    hint = f"\nsign in as {_USER} with the password {made}; PIPELINE_FLOWER_AUTH=user:password chooses another"
    return f"{_USER}:{made}", hint
