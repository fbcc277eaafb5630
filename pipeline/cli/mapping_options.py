"""The options that change the `[input]` table of a definition for one batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from pipeline.cli import options
from pipeline.cli.argument_types import FIELD
from pipeline.definitions import Definition, with_input
from pipeline.errors import InvalidDefinition

F = TypeVar("F", bound=Callable[..., Any])


class FieldsType(click.ParamType[tuple[str, ...]]):
    """Names of fields, separated by commas."""

    name = "fields"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(FIELD.convert(name, param, ctx) for name in str(value).split(","))


class RenameType(click.ParamType[tuple[str, str]]):
    """A new name of a field, and its old one: `NEW=OLD`."""

    name = "rename"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        new, separator, old = str(value).partition("=")
        if not (new and separator and old):
            self.fail(f"{value!r} is not NEW=OLD, such as body=Description", param, ctx)
        return FIELD.convert(new, param, ctx), FIELD.convert(old, param, ctx)


_OPTIONS = (
    click.option(
        "--map",
        "rename",
        type=RenameType(),
        multiple=True,
        metavar="NEW=OLD",
        help="Call the field OLD by the name NEW; may be repeated. Part of the definition that is stored.",
    ),
    click.option(
        "--text",
        "text",
        type=FieldsType(),
        metavar="A,B",
        help="Fields whose texts the classifier reads, instead of the definition's.",
    ),
    click.option(
        "--field", "fields", type=FieldsType(), metavar="A,B", help="Store only these fields. Default: all of them."
    ),
)


def mapping_options(command: F) -> F:
    """Add the options of `map_input` to a command."""
    return options.with_options(_OPTIONS)(command)


def map_input(
    definition: Definition,
    rename: Sequence[tuple[str, str]],
    text: tuple[str, ...] | None,
    fields: tuple[str, ...] | None,
) -> Definition:
    """Return a definition with what the options say about its input.

    Raises:
        InvalidDefinition: the options contradict each other or the definition.
    """
    changes: dict[str, Any] = {}
    twice = next((new for new, count in Counter(new for new, _ in rename).items() if count > 1), None)
    if twice is not None:
        raise InvalidDefinition(f"--map gives the name {twice!r} to several fields; leave all but one of them out")
    if rename:
        changes["rename"] = {**definition.input.rename, **dict(rename)}
    if text:
        changes["text"] = text[0] if len(text) == 1 else text
    if fields:
        changes["fields"] = fields
    return with_input(definition, changes) if changes else definition
