"""`use = "http"`: what a service of yours answers for an item, as JSON.

Redirects, proxies and the process's environment are not followed. A request may be repeated: a worker can be killed
between the answer and its record.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.environment import expand
from pipeline.stages.catalog.extra import missing
from pipeline.stages.catalog.spec import EnrichSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.url_template import Template
from pipeline.stages.text.json_path import parse

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

# They say how the message is framed and read, which is the client's business.
_OWN_HEADERS = frozenset({"accept-encoding", "connection", "content-length", "host", "te", "transfer-encoding"})


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "http"`."""

    # A refused `url` may hold a password.
    model_config = ConfigDict(hide_input_in_errors=True)

    #: Fields of the payload stand in braces, percent-encoded; `{label}` and `{key}` are the item's own.
    url: str = Field(min_length=1)
    method: Literal["GET", "POST"] = "GET"
    #: `${NAME}` in a value is taken from the environment of the worker, so that secrets stay there.
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    #: POST only: name = payload field, sent as a JSON object; default: the payload.
    body: dict[str, str] | None = Field(default=None, min_length=1)
    #: Name in the answer = path in the JSON, such as "data.company[0].name"; default: the whole object.
    fields: dict[str, str] | None = Field(default=None, min_length=1)
    #: Bounds the request from connecting to the last byte.
    timeout_seconds: float = Field(default=10.0, gt=0, le=3600)
    #: Longer answers are the item's permanent error.
    max_bytes: int = Field(default=262_144, ge=1, le=16_777_216)
    #: What 404, 410 and 204 mean: the answer has null in each of `fields` (without `fields`: is empty), or dead.
    not_found: Literal["null", "dead"] = "null"
    #: Requests under way at once in one worker process.
    max_concurrency: int = Field(default=64, ge=1, le=1_000)

    @field_validator("url")
    @classmethod
    def _is_template(cls, url: str) -> str:
        Template.parse(url)
        return url

    @field_validator("fields", "body")
    @classmethod
    def _are_paths(cls, fields: dict[str, str] | None) -> dict[str, str] | None:
        for path in (fields or {}).values():
            parse(path)
        return fields

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if not name or not _TOKEN.issuperset(name) or name.lower() in _OWN_HEADERS:
                raise ValueError(f"header {name!r} cannot be set; take it out")
        return headers

    @model_validator(mode="after")
    def _sends_a_body_by_post(self) -> Spec:
        if self.body is not None and self.method != "POST":
            raise ValueError('`body` is sent by method = "POST" only')
        return self


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the service answers as it is then."""
    return ()


def build(spec: Spec, folder: Path, environ: Mapping[str, str] = os.environ) -> Step:
    """Return the enricher; its `call` has `aclose()`, which ends the connections of the running loop.

    Raises:
        InvalidDefinition: a variable of `headers` is not set or cannot be sent, or the extra `http` is not installed.
    """
    headers = {name: _header(name, value, environ) for name, value in spec.headers.items()}
    try:
        # The client's module needs the extra as a whole.
        from pipeline.stages.enrichers.http_exchange import Exchange
    except ImportError as error:
        raise missing("http", "http", error) from error
    return Step(
        spec.name or "http",
        Exchange(spec, headers),
        Mode.ASYNC,
        timeout_seconds=spec.timeout_seconds,
        max_concurrency=spec.max_concurrency,
    )


def _header(name: str, value: str, environ: Mapping[str, str]) -> str:
    # A secret read from a file often ends with a line break.
    text = expand(value, f"http header {name!r}", environ).strip()
    if not text.isascii() or not text.isprintable():
        raise InvalidDefinition(f"http header {name!r} holds a character that cannot be sent; only printable ASCII can")
    return text
