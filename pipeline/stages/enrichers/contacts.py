"""`use = "contacts"`: e-mail addresses, phone numbers and domains in a text, written in one way each.

The answer: `{"emails": ["ann@example.com"], "phones": ["+12125551234"], "domains": ["example.com"]}`; each once, in
order of appearance. Domains are registered ones (`example.co.uk`, not `www.example.co.uk`), in ASCII. Nothing is looked
up in a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipeline.domain.item import WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.extra import missing
from pipeline.stages.catalog.spec import EnrichSpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.email_and_domains import Addresses
from pipeline.stages.enrichers.phone_numbers import Phones
from pipeline.stages.text.json_path import parse, text_of


class Spec(EnrichSpec):
    """`[[enrich]]` with `use = "contacts"`."""

    #: Payload field to read instead of the item's text; dots go deeper.
    field: str | None = Field(default=None, min_length=1)
    #: Region, such as "US", of phone numbers without a country code; without it only numbers with `+` are found.
    region: str | None = None
    #: Characters read of a text.
    max_characters: int = Field(default=20_000, ge=1, le=1_000_000)

    @field_validator("field")
    @classmethod
    def _is_path(cls, field: str | None) -> str | None:
        if field is not None:
            parse(field)
        return field


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the lists are part of the installed packages."""
    return ()


def build(spec: Spec, folder: Path) -> Step:
    """Return the enricher.

    Raises:
        InvalidDefinition: there is no such `region`, or the extra `contacts` is not installed.
    """
    try:
        finder = _Finder(spec, Addresses(), Phones(spec.region))
    except ImportError as error:
        raise missing("contacts", "contacts", error) from error
    name = spec.name or "contacts"
    # A long text can take tens of milliseconds; few of them together keep one call short.
    return Step(name, finder.answers, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds, max_items=64)


@dataclass(frozen=True, slots=True)
class _Finder:
    spec: Spec
    addresses: Addresses
    phones: Phones

    def answers(self, items: list[WorkItem]) -> list[dict[str, Any] | Permanent]:
        return [self._answer(item) for item in items]

    def _answer(self, item: WorkItem) -> dict[str, Any] | Permanent:
        try:
            text = text_of(item, self.spec.field)[: self.spec.max_characters].encode("utf-8", "replace")
        except Permanent as error:
            return error
        found = self.addresses.find(text)
        return {
            "emails": list(found.emails),
            "phones": list(self.phones.find(found.rest)),
            "domains": list(found.domains),
        }
