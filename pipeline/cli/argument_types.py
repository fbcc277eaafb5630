"""Types of arguments: texts that can be stored, paths that can be opened, and numbers within their bounds."""

from __future__ import annotations

import math
import os
from typing import Any

import click

from pipeline.cli.streams import output_path
from pipeline.domain import bounds
from pipeline.domain.bounds import Text, WholeNumber, is_unicode


class TextType(click.ParamType[str]):
    """Text within bounds. Arguments that the locale cannot decode are read as UTF-8."""

    name = "text"

    def __init__(self, bound: Text = bounds.TEXT) -> None:
        self._bound = bound

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = _decode(value)
        problem = self._bound.find_problem(text)
        if problem is not None:
            self.fail(f"it {problem}", param, ctx)
        return text


class PathType(click.ParamType[str]):
    """The path of a file. Names of files are bytes, so it need not be valid Unicode."""

    name = "path"

    def __init__(self, *, is_output: bool = False) -> None:
        self._is_output = is_output

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("it is empty; give the path of a file", param, ctx)
        try:
            is_usable = b"\0" not in os.fsencode(value)
        except UnicodeEncodeError:
            is_usable = False
        if not is_usable:
            self.fail(f"{value!r} cannot be the path of a file", param, ctx)
        return output_path(value) if self._is_output else value


PATH = PathType()
#: The path of a file to write.
OUTPUT_PATH = PathType(is_output=True)
IDEMPOTENCY_KEY = TextType(bounds.IDEMPOTENCY_KEY)
FAIR_KEY = TextType(bounds.FAIR_KEY)
FIELD = TextType(bounds.FIELD)


class NumberType(click.FloatRange):
    """A number within bounds. NaN is within all of them for click, because no comparison with it holds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def whole_number(bound: WholeNumber) -> click.IntRange:
    """Return the type of a whole number within bounds."""
    return click.IntRange(bound.least, bound.most)


def check_texts(command: click.Command) -> None:
    """Have every parameter of a command and its subcommands that takes any text refuse what cannot be stored.

    Click's own type takes everything, and a parameter without a type has it.
    """
    for parameter in command.params:
        if parameter.type is click.STRING:
            parameter.type = _TEXT
    if isinstance(command, click.Group):
        for each in command.commands.values():
            check_texts(each)


_TEXT = TextType()


def _decode(argument: str) -> str:
    """Return an argument as UTF-8 if the locale could not decode it, as under LC_ALL=C; otherwise unchanged."""
    if is_unicode(argument):
        return argument
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        return argument
