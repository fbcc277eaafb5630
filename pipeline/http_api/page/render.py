"""Templates and assets of the web page."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.responses import Response

from pipeline.http_api.answer_headers import SAFE_HEADERS
from pipeline.http_api.page import text

_FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
#: Nothing from elsewhere, nothing inline: a label that is a script is shown as text, and would not run either.
SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: Other sites learn nothing from links. Under `no-referrer`, forms of the page itself would come from an origin `null`.
_HEADERS = {**SAFE_HEADERS, "Referrer-Policy": "same-origin"}
_YEAR = 31_536_000


def render(template: str, values: Mapping[str, Any], status: int = 200) -> Response:
    """Return a page."""
    text = _environment().get_template(template).render(**values)
    return Response(
        text,
        status,
        {"Content-Security-Policy": SECURITY, "Cache-Control": "no-store", **_HEADERS},
        media_type="text/html; charset=utf-8",
    )


def asset(name: str) -> Response | None:
    """Return a file under its hashed name, which browsers keep for a year; None if there is none."""
    path = _assets().get(name)
    if path is None:
        return None
    headers = {"Cache-Control": f"public, max-age={_YEAR}, immutable", **_HEADERS}
    return Response(path.read_bytes(), headers=headers, media_type=_TYPES[path.suffix])


def asset_path(name: str) -> str:
    """Return the path under which a file is served: it changes with the content."""
    hashed = next(hashed for hashed, path in _assets().items() if path.name == name)
    return f"/ui/assets/{hashed}"


@cache
def _assets() -> dict[str, Path]:
    files = sorted((_FOLDER / "assets").iterdir())
    return {f"{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}-{path.name}": path for path in files}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text.visible,
    )
    environment.filters.update(
        number=lambda value: f"{value:,}", time=text.time, cut=text.cut, took=text.took, segment=text.segment
    )
    environment.globals.update(asset=asset_path)
    return environment
