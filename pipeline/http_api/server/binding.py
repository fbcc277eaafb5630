"""Where the server listens, and whether it may listen there without an API key."""

from __future__ import annotations

import os
import resource
import socket
import stat
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from pipeline.access.keys import any_exists
from pipeline.context import Context
from pipeline.errors import InvalidInput
from pipeline.http_api.server.options import ServeOptions
from pipeline.http_api.server.run import BACKLOG, listen

#: Of a Unix socket: its user and group, such as that of a proxy.
_SOCKET_MODE = 0o660


def check_access(context: Context, options: ServeOptions) -> None:
    """Check that only this machine can connect, or that an API key is asked for.

    Raises:
        InvalidInput: anybody could use the server.
    """
    if not is_local(options) and not any_exists(context):
        raise InvalidInput(
            f"on {options.host}, anybody in the network could use the API, since no API key exists; make a key first: "
            "pipeline keys create ops --scope admin,read,payloads,submit,operate; or listen on 127.0.0.1"
        )


def is_local(options: ServeOptions) -> bool:
    """Return whether only programs of this machine can connect."""
    return options.uds is not None or _is_loopback(options.host)


def bind(options: ServeOptions) -> socket.socket:
    """Return a listening socket.

    Raises:
        InvalidInput: the address cannot be listened on.
    """
    where = f"{options.host} port {options.port}" if options.uds is None else str(options.uds)
    try:
        return listen(options.host, options.port) if options.uds is None else _bind_unix(options.uds)
    except OSError as error:
        other = "--host or --port" if options.uds is None else "--uds"
        raise InvalidInput(f"cannot listen on {where}: {error.strerror or error}; choose another {other}") from None


def url_of(options: ServeOptions, listener: socket.socket) -> str:
    """Return where the server answers."""
    if options.uds is not None:
        return f"unix:{options.uds}"
    host = f"[{options.host}]" if ":" in options.host else options.host
    scheme = "http" if options.tls is None else "https"
    return f"{scheme}://{host}:{listener.getsockname()[1]}{options.root_path}"


def allow_many_files() -> None:
    """Raise the number of files and connections that this process may have open to what the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems have a limit of their own below it.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    # Nobody else may connect, not even before its mode is set.
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    path.chmod(_SOCKET_MODE)
    listener.listen(BACKLOG)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that has died.

    Raises:
        InvalidInput: it is in use, or no socket.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidInput(f"--uds {path}: there is a file of that name; choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise InvalidInput(f"--uds {path}: another server listens there; stop it, or choose another path")
