"""A URL with fields of an item in its path and query."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import Any
from urllib.parse import quote, urlsplit

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.text.json_path import ABSENT, field_of, parse


@dataclass(frozen=True, slots=True)
class Template:
    """Literal parts and the fields between them.

    Args:
        host: host and port, for messages: the rest of the URL may hold what is in a payload.
        parts: (literal, field or None), in order.
    """

    host: str
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, url: str) -> Template:
        """Read a template such as `https://crm.internal/companies/{domain}?tier={account.tier}`.

        Raises:
            ValueError: it is no http(s) URL, holds credentials, or a field stands in scheme or host.
        """
        try:
            found = list(Formatter().parse(url))
        except ValueError:
            raise ValueError("`url` has a lone brace; write fields as {name} and a real brace as {{ or }}") from None
        parts = tuple((literal, field) for literal, field, _, _ in found)
        if any(spec or conversion for _, _, spec, conversion in found):
            raise ValueError("`url` has a field with '!' or ':'; write {name} or {name.inner} only")
        for _, field in parts:
            if field is not None:
                parse(field)
        return cls(_host(parts), parts)

    def fill(self, item: WorkItem) -> str:
        """Return the URL for `item`; values are percent-encoded.

        Raises:
            Permanent: a field is absent, empty, or no text, number or boolean; the message names it.
        """
        return "".join(literal if field is None else literal + _encoded(item, field) for literal, field in self.parts)


def value_of(item: WorkItem, name: str) -> Any:
    """Return the item's label or key where it is named `label` or `key`, else a payload field, or `ABSENT`."""
    if name == "label":
        return item.label
    return item.key if name == "key" else field_of(item.payload, name)


def _host(parts: tuple[tuple[str, str | None], ...]) -> str:
    head, field = parts[0] if parts else ("", None)
    url = urlsplit(head)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("`url` must begin like 'https://crm.internal/', without fields in scheme or host")
    if url.username is not None or url.password is not None:
        raise ValueError('`url` holds credentials; send them by `headers`, from the environment: "${NAME}"')
    # A field that continues the host would let a payload choose where the request goes.
    if field is not None and not (url.path or url.query):
        raise ValueError("`url` must have '/' between its host and its first field")
    return f"{url.hostname}:{url.port}" if url.port else url.hostname


def _encoded(item: WorkItem, field: str) -> str:
    value = value_of(item, field)
    if value is ABSENT or value is None or value == "":
        raise Permanent(f"url needs {field!r}, which is absent or empty")
    if not isinstance(value, str | int | float):
        raise Permanent(f"url needs text or a number in {field!r}, which is of type {type(value).__name__}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # Dots are never encoded, and as a whole part of a path they mean another path.
    if text in (".", ".."):
        raise Permanent(f"{field!r} is {text!r}, which cannot stand in a url")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise Permanent(f"{field!r} holds a lone surrogate, which cannot stand in a url") from None
