"""What commands say about the input as a whole: blank rows, repeated and missing names, and files of other kinds."""

from __future__ import annotations

import json

import pytest

from tests.support.awkward_inputs import AWKWARD, Awkward
from tests.support.terminal import Terminal, results_in

TABLE = "id,text,Labels,Labels,\n1,an invoice,a,b,\n\n2,a quote,,,\n,,,,\n3,an invoice\n4,a quote,,,x\n"
DEFINITION_OF_ANY_TEXT = """
name = "any"
[classify]
use = "keywords"
default = "other"
rules = [{ label = "x", any = ["x"] }]
"""
WARNING = (
    "in.csv: the header repeats 'Labels' (2 times); the repeated columns are numbered, such as 'Labels_2'. --strict "
    "refuses this\n"
)


def test_rows_are_items_rejections_or_blank_in_the_summary(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("in.csv", TABLE)
    done = terminal.run("run", "in.csv", "--on-error", "skip", "-o", "out.jsonl", "--json")
    summary = json.loads(done.stdout)
    assert (done.exit_code, summary["total"], summary["rejected"], summary["blank_rows"]) == (0, 2, 2, 2)
    assert WARNING in done.stderr
    assert "skipped line 6: 3 fields where the header has 5\n" not in done.stderr
    assert "skipped line 6: 2 fields where the header has 5\n" in done.stderr
    assert "skipped line 7: a value in column 5, which has no name" in done.stderr
    assert [result["key"] for result in results_in(terminal.folder / "out.jsonl")] == ["1", "2"]

    stderr = terminal.run("run", "in.csv", "--on-error", "skip").stderr
    assert "skipped     2\nblank rows  2\n" in stderr
    assert terminal.run("run", "in.csv", "--on-error", "skip", "-q").stderr.startswith(WARNING)
    submitted = terminal.data("submit", "in.csv", "--on-error", "skip")
    assert (submitted["total"], submitted["rejected"], submitted["blank_rows"]) == (2, 2, 2)


def test_a_header_may_lack_names_and_must_not_repeat_them(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("in.csv", TABLE)
    lenient = terminal.data("submit", "in.csv", "--on-error", "skip", "--header", "lenient", "-q")
    assert (lenient["total"], lenient["rejected"]) == (3, 1)
    strict = terminal.run("submit", "in.csv", "--on-error", "skip", "--strict")
    assert (strict.exit_code, strict.stderr.splitlines()[-1]) == (
        2,
        "error: in.csv, line 1: the header has 'Labels' twice; names must differ",
    )
    for key in ("id", "Labels"):
        table = f"{key},text,{key}\n1,an invoice,2\n"
        refused = terminal.run("submit", "-", "--key", key, input=table)
        assert refused.exit_code == 2
        assert f"the header has {key!r} twice, and the definition or an option refers to it" in refused.stderr


def test_labelled_data_is_read_with_the_same_options(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write("in.csv", "text,label,,x,x\nan invoice,billing,,1,2\n,,,,\na quote,sales,7,1,2\n")
    refused = terminal.run("evaluate", "in.csv")
    assert (refused.exit_code, "a value in column 3" in refused.stderr) == (2, True)
    done = terminal.run("evaluate", "in.csv", "--header", "lenient", "--json")
    assert json.loads(done.stdout)["n"] == 2
    assert "in.csv: the header repeats 'x' (2 times)" in done.stderr
    assert done.stderr.endswith("in.csv: 1 blank row skipped\n")
    assert terminal.run("evaluate", "in.csv", "--header", "lenient", "--strict").exit_code == 2


#: Some of them; `tests/unit/sources` reads all. Their items have the field that the definition reads.
SAMPLE = [each for each in AWKWARD if each.error or all("text" in payload for _, payload in each.items)][::7]


@pytest.mark.parametrize("awkward", SAMPLE, ids=lambda awkward: awkward.name)
def test_an_awkward_input_runs_to_the_end_or_is_refused(terminal: Terminal, awkward: Awkward) -> None:
    terminal.write("any.toml", DEFINITION_OF_ANY_TEXT)
    terminal.write(awkward.file, awkward.content)
    words = [word for name, value in awkward.options.items() for word in (f"--{name}", value) if value is not True]
    done = terminal.run("run", awkward.file, "--on-error", "skip", "--json", *words)
    if awkward.error is not None or not awkward.items:
        assert (done.exit_code, done.stdout) == (2, "")
        return
    summary = json.loads(done.stdout)
    assert done.exit_code == 0
    found = (summary["total"], summary["rejected"], summary["blank_rows"])
    assert found == (len(awkward.items), len(awkward.refused), awkward.blank_rows)
