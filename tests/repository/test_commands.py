"""Every command is documented, its examples parse, and the reference page is up to date."""

from __future__ import annotations

import shlex

import click
import pytest

from pipeline.cli import COMMANDS, main
from pipeline.cli.reference import reference_page, walk_commands
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "cli.md"
ALL = dict(walk_commands(main))


def examples(command: click.Command) -> list[str]:
    """Return the lines below `Examples:` in the help of a command."""
    _, heading, below = (command.help or "").partition("Examples:\n")
    return [line.strip() for line in below.splitlines() if line.strip()] if heading else []


def arguments(line: str) -> list[str]:
    """Return the arguments of `pipeline` in an example, without shell syntax."""
    words = shlex.split(line.partition("$(")[2].rstrip(")") if "$(" in line else line)
    return words[1 : words.index("<")] if "<" in words else words[1:]


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_help_and_an_example(name: str) -> None:
    command = ALL[name]
    assert command.help, f"`{name}` has no help"
    assert examples(command), f"`{name}` has no example"


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_help(name: str) -> None:
    options = [parameter for parameter in ALL[name].params if isinstance(parameter, click.Option)]
    assert [option.opts for option in options if not option.help] == []


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, command in ALL.items() for line in examples(command)]
)
def test_every_example_calls_its_command_and_parses(name: str, line: str) -> None:
    words = arguments(line)
    assert f"pipeline {' '.join(words)}".startswith(name)
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: no command {words[0]}"
        command, words = found, words[1:]
    command.make_context(name, words, parent=context)


@pytest.mark.parametrize("name", ALL)
def test_the_help_begins_with_a_summary_that_fits_a_line_of_80_columns(name: str) -> None:
    summary, _, rest = (ALL[name].help or "").partition("\n\n")
    assert summary.endswith(".")
    assert rest, f"`{name}` has only a summary"
    # Click's indent, the longest name of a subcommand (replay-missing) and the gap take 18 columns.
    assert name == "pipeline" or len(summary) <= 80 - 18, summary


def test_the_overview_has_the_summary_of_each_command() -> None:
    overview = {f"pipeline {name}": summary for section in COMMANDS.values() for name, summary in section.items()}
    assert overview == {name: (ALL[name].help or "").partition("\n\n")[0] for name in overview}
    assert set(overview) == {name for name in ALL if name.count(" ") == 1}


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(), (
        "the help has changed: python -m pipeline.cli.reference > docs/reference/cli.md"
    )
