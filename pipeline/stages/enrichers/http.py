"""`use = "http"`: the JSON answer of your own HTTP service for an item.

Redirects are not followed, and proxy settings in the environment are ignored. A request may be repeated: a worker can
be killed after the response and before it is recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from pipeline.domain.variables import expand_variables, find_variables
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import EnrichSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.redaction import Redaction
from pipeline.stages.enrichers.url_template import UrlTemplate
from pipeline.stages.text.json_path import parse_path

# The characters of a token (RFC 9110 §5.6.2).
_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

# Headers that control framing and encoding, which is the client's responsibility.
_RESERVED_HEADERS = frozenset({"accept-encoding", "connection", "content-length", "host", "te", "transfer-encoding"})


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "http"`."""

    # An invalid `url` may contain a password.
    model_config = ConfigDict(hide_input_in_errors=True)

    #: Payload fields go in braces and are percent-encoded; `{label}` and `{key}` are the item's own.
    url: str = Field(min_length=1)
    method: Literal["GET", "POST"] = "GET"
    #: `${NAME}` in a value is read from the worker's environment, so that secrets stay there.
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    #: POST only: name = payload field, sent as a JSON object; defaults to the whole payload.
    body: dict[str, str] | None = Field(default=None, min_length=1)
    #: Name in the answer = path in the response, such as "data.company[0].name"; defaults to the whole object.
    fields: dict[str, str] | None = Field(default=None, min_length=1)
    #: Time limit of the request, from connecting to the last byte of the response.
    timeout_seconds: float = Field(default=10.0, gt=0, le=3600)
    #: Longest response; a longer one is a permanent error of the item.
    max_bytes: int = Field(default=262_144, ge=1, le=16_777_216)
    #: What a status of 404, 410 or 204 does: "null" sets each of `fields` to null (without `fields`, the answer is
    #: empty), "dead" makes the item dead.
    not_found: Literal["null", "dead"] = "null"
    #: Whether the service gets the header `traceparent` of a traced item.
    propagate_trace: bool = False
    #: Maximum number of concurrent requests in one worker process.
    max_concurrency: int = Field(default=64, ge=1, le=1_000)

    @field_validator("url")
    @classmethod
    def _url_is_a_template(cls, url: str) -> str:
        UrlTemplate.parse(url)
        return url

    @field_validator("fields", "body")
    @classmethod
    def _values_are_paths(cls, fields: dict[str, str] | None) -> dict[str, str] | None:
        for path in (fields or {}).values():
            parse_path(path)
        return fields

    @field_validator("headers")
    @classmethod
    def _headers_may_be_set(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not name or not _TOKEN_CHARACTERS.issuperset(name) or name.lower() in _RESERVED_HEADERS:
                raise ValueError(f"header {name!r} cannot be set; remove it")
            _check_header_value(name, value)
        return headers

    @model_validator(mode="after")
    def _body_needs_post(self) -> Spec:
        if self.body is not None and self.method != "POST":
            raise ValueError('`body` can only be sent with method = "POST"')
        return self


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the service's answers are not pinned."""
    return ()


def build(spec: Spec, folder: Path, environ: Mapping[str, str] = os.environ) -> Step:
    """Build the enricher. Its `call` has an `aclose()` that closes the connections of the running loop.

    Raises:
        InvalidDefinition: a variable in `headers` is not set, a header cannot be sent, or the extra `http` is not
            installed.
    """
    headers = {name: _expand_header(name, value, environ) for name, value in spec.headers.items()}
    try:
        # Imported here because the module needs the extra.
        from pipeline.stages.enrichers.http_exchange import HttpEnricher
    except ImportError as error:
        raise missing_extra("http", "http", error) from error
    return Step(
        spec.name or "http",
        HttpEnricher(spec, headers, Redaction(_secrets(spec, headers, environ))),
        Mode.ASYNC,
        timeout_seconds=spec.timeout_seconds,
        max_concurrency=spec.max_concurrency,
    )


def _secrets(spec: Spec, headers: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what must not be shown when a service repeats its request: headers, their variables, the fixed query."""
    for value in headers.values():
        yield from (value, *value.split())
    for value in spec.headers.values():
        yield from (environ[name].strip() for name in find_variables(value))
    yield from (value for _, value in parse_qsl(urlsplit(spec.url).query))


def _expand_header(name: str, value: str, environ: Mapping[str, str]) -> str:
    # A secret that was read from a file often ends with a line break.
    text = expand_variables(value, f"http header {name!r}", environ).strip()
    try:
        return _check_header_value(name, text)
    except ValueError as error:
        raise InvalidDefinition(f"http {error}") from None


def _check_header_value(name: str, value: str) -> str:
    text = value.strip()
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"header {name!r} contains a character that cannot be sent; use printable ASCII only")
    return text
