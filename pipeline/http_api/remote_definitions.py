"""Definitions in the bodies of requests."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from pipeline.access.caller import Caller
from pipeline.domain.api_key import Scope
from pipeline.domain.remote_definition import find_forbidden
from pipeline.http_api.call import ApiCall
from pipeline.http_api.parameters import parse_json, pointer
from pipeline.http_api.problems import Problem

JSON, TOML = "application/json", "application/toml"
MEDIA_TYPES = (JSON, TOML)
MAX_BYTES = 1024 * 1024


async def read_tables(call: ApiCall) -> Mapping[str, Any]:
    """Return the tables of the definition in a request's body, which may be invalid.

    Raises:
        Problem: unsupported_media_type, body_too_large, bad_json, invalid_definition, invalid_request.
    """
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise Problem(
            "unsupported_media_type",
            f"the body has the type {media_type[:80]!r}; send {' or '.join(MEDIA_TYPES)}",
            headers={"Accept": ", ".join(MEDIA_TYPES)},
        )
    body = await call.read_body(MAX_BYTES)
    # In a thread: it takes longer than other requests should wait.
    tables = await call.bulk(parse_json if media_type == JSON else _parse_toml, body)
    if not isinstance(tables, Mapping):
        raise Problem("invalid_request", "the body is not a JSON object")
    return tables


def check_remote_definition(caller: Caller, tables: Mapping[str, Any], *path: str) -> None:
    """Refuse the tables of a definition that its sender may not run here.

    Args:
        path: of the tables in the body, for the pointers.

    Raises:
        Problem: definition_not_allowed.
    """
    if Scope.ADMIN in caller.scopes:
        return
    errors = [{"pointer": pointer(*path, *part.path), "detail": part.reason} for part in find_forbidden(tables)]
    if errors:
        raise Problem(
            "definition_not_allowed",
            f"{errors[0]['pointer']}: {errors[0]['detail']}; name a definition of the server, or use a key with the "
            "scope admin",
            errors=errors,
        )


def may_show(caller: Caller, tables: Mapping[str, Any]) -> bool:
    """Return whether a caller may see a definition: what it could not send may name internal services and files."""
    return Scope.ADMIN in caller.scopes or not find_forbidden(tables)


def _parse_toml(body: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Problem("invalid_definition", f"the body is not UTF-8: byte {error.start + 1} cannot be read") from None
    except tomllib.TOMLDecodeError as error:
        raise Problem("invalid_definition", f"the body is not valid TOML: {error}") from None
    except RecursionError:
        raise Problem("invalid_definition", "the body is nested too deeply") from None
