"""`use = "contacts"`: the email addresses, phone numbers and domains in a text, normalized.

The answer: `{"emails": ["ann@example.com"], "phones": ["+12125551234"], "domains": ["example.com"]}`, without
duplicates, in order of appearance. Domains are registered domains (`example.co.uk`, not `www.example.co.uk`), in ASCII.
The network is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import EnrichSpec, FieldPath
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.email_and_domains import AddressFinder
from pipeline.stages.enrichers.phone_numbers import PhoneFinder
from pipeline.stages.text.json_path import get_text
from pipeline.stages.text.normal_form import normalize
from pipeline.stages.text.written_escapes import decode_escapes

# What no text with contacts lacks: a dot before another character, a digit or an escape. Most texts have no contacts.
_HINT = r"[.．﹒․]\S|\p{Nd}|[%&\\]"


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "contacts"`."""

    #: Payload field to read instead of the item's text; dots reach nested fields.
    field: FieldPath | None = None
    #: Region, such as "US", of phone numbers without a country code; without it, only numbers with `+` are found.
    region: str | None = None
    #: How many characters of a text are read.
    max_characters: int = Field(default=20_000, ge=1, le=1_000_000)


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the lists are part of the installed packages."""
    return ()


def build(spec: Spec, folder: Path) -> Step:
    """Build the enricher.

    Raises:
        InvalidDefinition: `region` does not exist, or the extra `contacts` is not installed.
    """
    try:
        import re2

        enricher = _ContactsEnricher(spec, AddressFinder(spec.region), PhoneFinder(spec.region), re2.compile(_HINT))
    except ImportError as error:
        raise missing_extra("contacts", "contacts", error) from error
    name = spec.name or "contacts"
    # A long text can take tens of milliseconds, so a call gets few items.
    return Step(name, enricher.enrich, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds, max_items=64)


@dataclass(frozen=True, slots=True)
class _ContactsEnricher:
    spec: Spec
    addresses: AddressFinder
    phones: PhoneFinder
    hint: Any

    def enrich(self, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
        return [self._enrich_item(item) for item in items]

    def _enrich_item(self, item: WorkItem) -> dict[str, Any] | Permanent:
        try:
            text = get_text(item, self.spec.field)[: self.spec.max_characters]
        except Permanent as error:
            return error
        if not self.hint.search(text.encode("utf-8", "replace")):
            return {"emails": [], "phones": [], "domains": []}
        found = self.addresses.find(normalize(decode_escapes(text)).encode("utf-8", "replace"))
        return {
            "emails": list(found.emails),
            "phones": list(self.phones.find(found.rest)),
            "domains": list(found.domains),
        }
