"""`pipeline flower`."""

from __future__ import annotations

import secrets
from ipaddress import ip_address

import click

from pipeline.cli.checks.broker import check_broker
from pipeline.cli.checks.check import CheckStatus
from pipeline.cli.run.log_output import configure_logging
from pipeline.cli.show.output import Messages
from pipeline.errors import InvalidInput, InvalidSettings, Unreachable
from pipeline.settings import Settings
from pipeline.settings import load as load_settings

#: User name of the generated login.
_USER = "pipeline"
_PATH_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")
#: 128 bits.
_PASSWORD_BYTES = 16


@click.command()
@click.option("--address", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    default=5555,
    show_default=True,
    help="Port to listen on; 0 takes any free port.",
)
@click.option("--url-prefix", metavar="PATH", help="Path under which a proxy serves Flower.")
@click.option(
    "--broker-api",
    metavar="URL",
    help="RabbitMQ only: URL of the management API, which reports queue lengths and needs RabbitMQ's management "
    "plugin. Default: port 15672 of the broker's host.",
)
@click.option(
    "--max-tasks",
    type=click.IntRange(1),
    metavar="N",
    default=10_000,
    show_default=True,
    help="Number of tasks to keep in memory.",
)
@click.option("--allow-control", is_flag=True, help="Allow stopping workers, changing pools and sending tasks.")
@click.option("--no-auth", is_flag=True, help="Let everybody on this machine view Flower without a login.")
def flower(
    address: str,
    port: int,
    url_prefix: str | None,
    broker_api: str | None,
    max_tasks: int,
    allow_control: bool,
    no_auth: bool,
) -> None:
    """Show tasks, workers and queues in a browser.

    This runs Flower. Each item is one task `items.classify` and one task `items.enrich`; the task id names the item,
    the stage and the release. For batches, results and dead items, use `pipeline status`, `results` and `dead`.

    PIPELINE_FLOWER_AUTH=user:password sets the login; without it, a password is generated and printed. `/healthcheck`
    and `/metrics` need no login: they show only the names of workers and tasks, and numbers. Flower keeps its data in
    memory until Ctrl-C or SIGTERM ends it.

    The management API of RabbitMQ is queried with the broker's user and password. For another user, set
    PIPELINE_FLOWER_BROKER_API=http://user:password@host:15672/api/; never pass credentials on the command line.

    \b
    Examples:
      pipeline flower
      pipeline flower --port 8080 --url-prefix flower
      pipeline flower --broker-api http://rabbitmq.internal:15672/api/
    """
    configure_logging()
    settings = load_settings()
    _check_access(address, no_auth=no_auth, allow_control=allow_control)
    broker_api = _management_api(broker_api, settings)
    url_prefix = None if url_prefix is None else _path_prefix(url_prefix)
    _check_broker(settings)
    try:
        from pipeline.cli.run import flower_server
    except ImportError as error:
        raise InvalidInput(f"Flower is not installed ({error.name or error}): pip install 'pipeline[flower]'") from None
    auth, hint = (None, "") if no_auth else _credentials(settings)
    flower_server.serve(
        flower_server.FlowerOptions(
            address=address,
            port=port,
            auth=auth,
            url_prefix=url_prefix,
            broker_api=broker_api,
            max_tasks=max_tasks,
            is_read_only=not allow_control,
        ),
        on_ready=lambda url: Messages().info(f"Flower listens on {url}{hint}"),
    )


def _check_access(address: str, *, no_auth: bool, allow_control: bool) -> None:
    if no_auth and not _is_loopback(address):
        raise InvalidInput(
            f"--no-auth with --address {address} would expose tasks to the network; "
            "set PIPELINE_FLOWER_AUTH=user:password instead"
        )
    if no_auth and allow_control:
        raise InvalidInput(
            "--no-auth with --allow-control would let any web page stop workers through a visitor's browser; "
            "leave one of them out"
        )


def _path_prefix(given: str) -> str | None:
    """Return a path without slashes at its ends; None for the root."""
    path = given.strip("/")
    # Flower takes it for a pattern.
    if not _PATH_CHARACTERS.issuperset(path) or "//" in path:
        raise InvalidInput(f"--url-prefix {given!r} is not a path; use letters, digits and -._~/, as in tools/flower")
    return path or None


def _management_api(given: str | None, settings: Settings) -> str | None:
    if given is None:
        return settings.flower_broker_api.get_secret_value() if settings.flower_broker_api else None
    # Every user of the machine can read the arguments of a process.
    if "@" in given:
        raise InvalidInput(
            "--broker-api contains credentials, which everybody on this machine could read; leave them out to use the "
            "broker's, or put the whole URL in PIPELINE_FLOWER_BROKER_API instead"
        )
    return given


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _check_broker(settings: Settings) -> None:
    if settings.is_embedded:
        raise InvalidSettings(
            "there is nothing to show: PIPELINE_BROKER_URL is not set, so `pipeline run` does all work in its own "
            "process and shows the progress; `pipeline status` shows batches"
        )
    for check in check_broker(settings):
        if check.verdict is CheckStatus.UNREACHABLE:
            raise Unreachable(f"the broker does not respond: {check.value}; {check.advice}")


def _credentials(settings: Settings) -> tuple[str, str]:
    """Return `user:password`, and a hint that shows a generated password this one time."""
    if settings.flower_auth is not None:
        return settings.flower_auth.get_secret_value(), ""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    hint = f"\nsign in as {_USER} with the password {password}; to choose one, set PIPELINE_FLOWER_AUTH=user:password"
    return f"{_USER}:{password}", hint
