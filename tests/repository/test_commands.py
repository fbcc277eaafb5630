"""Every command explains itself, its examples parse, and the reference page is up to date."""

from __future__ import annotations

import shlex

import click
import pytest

from pipeline.cli import COMMANDS, main
from pipeline.cli.reference import commands, page
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"
ALL = dict(commands(main))


def examples(command: click.Command) -> list[str]:
    """Return the lines under `Examples:` in a command's help."""
    _, heading, below = (command.help or "").partition("Examples:\n")
    return [line.strip() for line in below.splitlines() if line.strip()] if heading else []


def own_words(line: str) -> list[str]:
    """Return what follows `pipeline` in an example, without what belongs to the shell."""
    words = shlex.split(line.partition("$(")[2].rstrip(")") if "$(" in line else line)
    return words[1 : words.index("<")] if "<" in words else words[1:]


@pytest.mark.parametrize("name", ALL)
def test_every_command_says_what_it_does_and_gives_an_example(name: str) -> None:
    command = ALL[name]
    assert command.help, f"`{name}` has no help"
    assert examples(command), f"`{name}` has no example"


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_explained(name: str) -> None:
    options = [parameter for parameter in ALL[name].params if isinstance(parameter, click.Option)]
    assert [option.opts for option in options if not option.help] == []


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, command in ALL.items() for line in examples(command)]
)
def test_every_example_is_one_of_its_command_and_parses(name: str, line: str) -> None:
    words = own_words(line)
    assert f"pipeline {' '.join(words)}".startswith(name)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: no command {words[0]}"
        command, words = found, words[1:]
    command.make_context(name, words, parent=context)


def test_the_overview_says_of_each_command_what_its_own_help_says() -> None:
    for section in COMMANDS.values():
        for name, entry in section.items():
            command = ALL[f"pipeline {name}"]
            if not isinstance(command, click.Group):
                first = (command.help or "").partition(".")[0].split()
                assert set(entry.help.rstrip(".").split()) & set(first), f"`{name}`: {entry.help}"


def test_the_reference_page_is_what_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "the help has changed: python -m pipeline.cli.reference > docs/reference/cli.md"
    )
