"""`pipeline train` and `pipeline evaluate`: from labelled data to a definition with the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.terminal import Terminal

# One process imports scikit-learn.
pytestmark = pytest.mark.xdist_group("sklearn")


def write_labelled(terminal: Terminal, name: str = "labelled.csv") -> str:
    rows = [f"please pay invoice {n},billing\nwhere is parcel {n},shipping" for n in range(20)]
    return str(terminal.write(name, "\n".join(["text,kind", *rows]) + "\n"))


def test_a_trained_model_is_evaluated_and_used(terminal: Terminal) -> None:
    data = write_labelled(terminal)
    report = terminal.data("train", data, "--text", "text", "--label", "kind", "-o", "models/kinds.skops")
    assert report["score"]["accuracy"] == 1.0
    assert Path("models/kinds.skops").exists()

    terminal.write("kinds.toml", 'name = "kinds"\n[classify]\nuse = "sklearn"\nmodel = "models/kinds.skops"\n')
    evaluation = terminal.data("evaluate", data, "--label", "kind")
    assert (evaluation["n"], evaluation["accuracy"]) == (40, 1.0)
    assert (evaluation["n_trained_on"], evaluation["untrained"]) == (40, None)
    assert terminal.run("run", data, "--quiet").exit_code == 0
    assert terminal.data("status", "last")["labels"] == {"billing": 20, "shipping": 20}


def test_examples_that_were_trained_on_are_no_measure(terminal: Terminal) -> None:
    data = write_labelled(terminal)
    terminal.data("train", data, "--text", "text", "--label", "kind", "-o", "kinds.skops")
    terminal.write("kinds.toml", 'name = "kinds"\n[classify]\nuse = "sklearn"\nmodel = "kinds.skops"\n')
    new = "text,kind\nPlease pay  invoice 3!,billing\nwhere is my parcel,shipping\n"
    result = terminal.run("evaluate", str(terminal.write("new.csv", new)), "--label", "kind")
    assert "not trained on  accuracy 1.000, macro F1 1.000 on 1 item" in result.stdout
    assert "warning: 1 of 2 examples were trained on" in result.stderr


def test_scores_are_printed_for_each_class(terminal: Terminal) -> None:
    data = write_labelled(terminal)
    test = write_labelled(terminal, "test.csv")
    result = terminal.run("train", data, "--text", "text", "--label", "kind", "-o", "m.skops", "--test", test)
    assert result.exit_code == 0, result.stderr
    for word in ("billing", "shipping", "precision", "recall", "f1", "support", "accuracy", "40 test examples"):
        assert word in result.stdout


def test_an_accuracy_below_the_minimum_causes_exit_code_1(terminal: Terminal) -> None:
    terminal.write_definition()
    data = terminal.write(
        "d.jsonl", '{"text": "an invoice", "label": "sales"}\n{"text": "a quote", "label": "sales"}\n'
    )
    assert terminal.run("evaluate", str(data), "--min-accuracy", "0.5").exit_code == 0
    result = terminal.run("evaluate", str(data), "--min-accuracy", "0.9")
    assert result.exit_code == 1
    assert "0.500 is below 0.9" in result.stderr
    assert "most frequent confusions" in result.stdout


def test_failed_items_are_counted_by_error(terminal: Terminal) -> None:
    terminal.write_definition()
    data = terminal.write("d.jsonl", '{"text": "an invoice", "label": "billing"}\n{"text": "?", "label": "sales"}\n')
    result = terminal.run("evaluate", str(data), "--json")
    assert sum(json.loads(result.stdout)["errors"].values()) == 1


def test_a_wrong_field_is_named(terminal: Terminal) -> None:
    data = write_labelled(terminal)
    for text, label, field in [("txt", "kind", "'text'"), ("text", "knd", "'kind'")]:
        result = terminal.run("train", data, "--text", text, "--label", label, "-o", "m.skops")
        assert result.exit_code == 2
        assert field in result.stderr
    terminal.write_definition()
    result = terminal.run("evaluate", data, "--label", "kind", "--text", "body")
    assert result.exit_code == 2
    assert "'body'" in result.stderr


def test_a_bad_line_of_labelled_data_is_named(terminal: Terminal) -> None:
    data = terminal.write("d.jsonl", '{"text": "a", "label": "b"}\nnot json\n')
    result = terminal.run("train", str(data), "--text", "text", "--label", "label", "-o", "m.skops")
    assert result.exit_code == 2
    assert "line 2" in result.stderr
