"""Endpoints that fail or are disabled, told in a line each where a person looks."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.cli.show.endpoint import in_words
from pipeline.cli.show.output import Talk
from pipeline.context import Context
from pipeline.delivery.endpoints import troubled

#: Endpoints that are named; `pipeline endpoints list` names all.
NAMED = 5


def in_trouble(context: Context) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with an endpoint, and what shows more; where there are many, of the first."""
    found = troubled(context, NAMED + 1)
    for each in found[:NAMED]:
        yield f"{each.origin} is {in_words(each.condition)}", f"`pipeline endpoints show {each.origin}`"
    if len(found) > NAMED:
        yield "more endpoints fail or are disabled", "`pipeline endpoints list`"


def warn_of_trouble(context: Context, talk: Talk) -> None:
    """Say so on standard error."""
    for said, advice in in_trouble(context):
        talk.warn(f"{said}; {advice} says more")
