"""What an argument on the command line may be."""

from __future__ import annotations

import os
import sys

import click
import pytest

from pipeline.cli import main
from pipeline.cli.argument_types import PATH, NumberType, TextType
from pipeline.cli.reference import walk_commands

#: Bytes as Python hands them over where the locale cannot decode them.
LATIN_1 = b"caf\xe9".decode(errors="surrogateescape")


def test_a_text_is_utf_8() -> None:
    assert TextType().convert("café", None, None) == "café"
    with pytest.raises(click.BadParameter, match="not valid Unicode"):
        TextType().convert(LATIN_1, None, None)


def test_nan_is_within_no_bounds() -> None:
    assert NumberType(0).convert("inf", None, None) == float("inf")
    with pytest.raises(click.BadParameter, match="'nan' is not a number"):
        NumberType(0).convert("nan", None, None)


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are Unicode on Windows")
def test_a_text_that_an_ascii_locale_could_not_decode_is_read_as_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii", "surrogateescape"))
    given = "café".encode().decode("ascii", "surrogateescape")
    assert TextType().convert(given, None, None) == "café"


def test_an_empty_text_is_an_unset_variable_rather_than_a_value() -> None:
    with pytest.raises(click.BadParameter, match="is empty; leave it out or give one"):
        TextType().convert("", None, None)


def test_a_path_is_bytes() -> None:
    assert PATH.convert(LATIN_1, None, None) == LATIN_1
    for wrong in ("", "a\x00b", "\ud800"):
        with pytest.raises(click.BadParameter):
            PATH.convert(wrong, None, None)


def test_no_parameter_takes_any_text() -> None:
    unchecked = [
        f"{name} {parameter.name}"
        for name, command in walk_commands(main)
        for parameter in command.params
        if parameter.type is click.STRING
    ]
    assert unchecked == []
