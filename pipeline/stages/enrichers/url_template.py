"""URLs with fields of an item in their path and query."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.text.json_path import ABSENT, get_field, parse_path


@dataclass(frozen=True, slots=True)
class UrlTemplate:
    """The literal parts of a URL and the fields between them.

    Args:
        host: host and port, for messages; the rest of the URL may contain payload data.
        parts: pairs of a literal and the field after it, or None at the end.
    """

    host: str
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, url: str) -> UrlTemplate:
        """Parse a template such as `https://crm.internal/companies/{domain}?tier={account.tier}`.

        Raises:
            ValueError: it is not an http(s) URL, contains credentials, or has a field in its scheme or host.
        """
        try:
            parsed = list(Formatter().parse(url))
        except ValueError:
            raise ValueError(
                "`url` has an unpaired brace; write fields as {name} and literal braces as {{ or }}"
            ) from None
        parts = tuple((literal, field) for literal, field, _, _ in parsed)
        if any(spec or conversion for _, _, spec, conversion in parsed):
            raise ValueError("`url` has a field with '!' or ':'; write {name} or {name.inner} only")
        for _, field in parts:
            if field is not None:
                parse_path(field)
        return cls(_check_host(parts), parts)

    def fill(self, item: WorkItem) -> str:
        """Return the URL for `item`, with values percent-encoded.

        Raises:
            Permanent: a field is missing, empty, or not text, a number or a boolean; the message names it.
        """
        return "".join(literal if field is None else literal + _encode(item, field) for literal, field in self.parts)


def get_item_value(item: WorkItem, name: str) -> Any:
    """Return the item's label or key if `name` is `label` or `key`; otherwise a payload field, or `ABSENT`."""
    if name == "label":
        return item.label
    return item.key if name == "key" else get_field(item.payload, name)


def _check_host(parts: tuple[tuple[str, str | None], ...]) -> str:
    head, field = parts[0] if parts else ("", None)
    url = urlsplit(head)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("`url` must begin like 'https://crm.internal/', without fields in scheme or host")
    if url.username is not None or url.password is not None:
        raise ValueError('`url` contains credentials; send them in `headers`, from the environment: "${NAME}"')
    # A field that continued the host would let a payload choose the destination of the request.
    if field is not None and not (url.path or url.query):
        raise ValueError("`url` must have '/' between its host and its first field")
    return f"{url.hostname}:{url.port}" if url.port else url.hostname


def _encode(item: WorkItem, field: str) -> str:
    value = get_item_value(item, field)
    if value is ABSENT or value is None or value == "":
        raise Permanent(f"url needs {field!r}, which is missing or empty")
    if not isinstance(value, str | int | float):
        raise Permanent(f"url needs text or a number in {field!r}, which is of type {type(value).__name__}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # Dots are never encoded, and a path segment of only dots leads to another path.
    if text in (".", ".."):
        raise Permanent(f"{field!r} is {text!r}, which cannot be used in a URL")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise Permanent(f"{field!r} contains a lone surrogate, which cannot be used in a URL") from None
