"""`pipeline serve`."""

from __future__ import annotations

import logging
import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

import click

from pipeline.cli.streams import print_data
from pipeline.errors import InvalidInput
from pipeline.settings import Settings
from pipeline.settings import load as load_settings

#: In `--proxy`: the programs that connect to `--uds`.
_SOCKET = "unix"
_LEVELS = ("debug", "info", "warning", "error")
_PATH_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")


class _Proxy(click.ParamType[IPv4Network | IPv6Network | str]):
    """A network, or `unix`."""

    name = "cidr"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> IPv4Network | IPv6Network | str:
        if value == _SOCKET:
            return value
        try:
            return ip_network(value)
        except ValueError:
            self.fail(f"{value!r} is not a network; use CIDR notation, such as 10.0.0.0/8 or 10.1.2.3/32", param, ctx)


class _RootPath(click.ParamType[str]):
    """A path; without slash at its end."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        path = value.rstrip("/")
        if not _PATH_CHARACTERS.issuperset(path) or "//" in path or path[:1] not in ("", "/"):
            self.fail(f"{value!r} is not a path; use letters, digits and -._~/, as in /tools/pipeline", param, ctx)
        return path


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    default=8787,
    show_default=True,
    help="Port to listen on; 0 takes any free port.",
)
@click.option(
    "--uds", type=click.Path(path_type=Path), metavar="PATH", help="Listen on this Unix socket instead of a port."
)
@click.option(
    "--processes",
    "-n",
    type=click.IntRange(1, 64),
    metavar="N",
    default=1,
    show_default=True,
    help="Number of processes that answer requests.",
)
@click.option("--root-path", type=_RootPath(), metavar="PATH", default="", help="Path under which a proxy serves it.")
@click.option("--tls-certificate", type=_FILE, metavar="FILE", help="Certificate, with those up to its root, in PEM.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Key of the certificate.")
@click.option(
    "--proxy",
    "proxies",
    type=_Proxy(),
    multiple=True,
    metavar="CIDR",
    help="Network of proxies whose X-Forwarded-For and X-Forwarded-Proto count; `unix`: those that connect to --uds. "
    "May be repeated.",
)
@click.option("--no-work", is_flag=True, help="Do not process batches here when no broker is set.")
@click.option("--no-ui", is_flag=True, help="Do not serve the web page.")
@click.option("--log-level", type=click.Choice(_LEVELS), default="info", show_default=True, help="Lowest level to log.")
def serve(
    proxies: tuple[IPv4Network | IPv6Network | str, ...], no_work: bool, no_ui: bool, log_level: str, **where: Any
) -> None:
    """Serve the HTTP API and a web page.

    Prints its URL when it answers. If no broker is set, a process beside it works on the batches; otherwise workers do,
    which you start with `pipeline worker`.

    Without an API key, it listens on this machine only and answers everybody there. As soon as a key exists, it asks
    for one: `pipeline keys create` makes it.

    On SIGTERM or Ctrl-C, streams end at once, and requests have PIPELINE_STOP_SECONDS to finish; a second Ctrl-C cuts
    them off.

    \b
    Examples:
      pipeline serve
      pipeline serve --port 9000 --processes 2
      pipeline serve --uds /run/pipeline/api.sock --proxy unix --root-path /pipeline
    """
    if (where["tls_certificate"] is None) != (where["tls_key"] is None):
        raise InvalidInput("--tls-certificate and --tls-key belong together; give both")
    if _SOCKET in proxies and where["uds"] is None:
        raise InvalidInput("--proxy unix is for programs that connect to --uds, which is not given")
    settings = load_settings()
    level: int = getattr(logging, log_level.upper())
    networks = [each for each in proxies if not isinstance(each, str)]
    _run(
        settings,
        level,
        proxies=networks,
        trusts_socket=_SOCKET in proxies,
        has_work=not no_work,
        has_page=not no_ui,
        **where,
    )
    logging.shutdown()
    # Threads of requests that were cut off may wait for a database for long; none of them holds anything.
    os._exit(0)


def _run(settings: Settings, level: int, **options: Any) -> None:
    """Serve until a signal ends it.

    Args:
        options: those of `ServeOptions`.
    """
    try:
        # Imported here: other commands do not need them, and they need not be installed.
        from pipeline.http_api.server.log_format import configure_logging
        from pipeline.http_api.server.options import ServeOptions
        from pipeline.http_api.server.serve import serve as run
    except ImportError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise InvalidInput(f"pipeline serve needs {missing}: pip install 'pipeline[serve]'") from None
    configure_logging(level)
    run(settings, ServeOptions(log_level=level, **options), on_ready=print_data)
