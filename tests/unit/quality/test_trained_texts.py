"""Which texts a model was trained on, as its card remembers it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.quality.copies import text_identity
from pipeline.quality.read_card import read_trained_texts
from pipeline.quality.trained_texts import TrainedTexts
from pipeline.quality.training import train

pytestmark = pytest.mark.xdist_group("sklearn")

EXAMPLES = [(f"pay invoice {n}", "billing") for n in range(20)] + [(f"late parcel {n}", "delivery") for n in range(20)]


def test_every_trained_text_is_known_and_hardly_any_other() -> None:
    texts = TrainedTexts.of((f"text {n}" for n in range(1_000)), b"key")

    assert all(f"text {n}" in texts for n in range(1_000))
    assert sum(f"other {n}" in texts for n in range(10_000)) < 20
    assert len(texts.bits) < 2_500


def test_the_filter_survives_json_and_depends_on_its_key() -> None:
    texts = TrainedTexts.of(["a", "b"], b"key")

    assert TrainedTexts.from_json(json.loads(json.dumps(texts.to_json())), b"key") == texts
    assert "a" not in TrainedTexts.from_json(texts.to_json(), b"another key")
    assert "a" not in TrainedTexts.of([], b"key")


@pytest.mark.parametrize(
    "data", [{}, {"bits": "%", "hashes": 3}, {"bits": "", "hashes": 3}, {"bits": "AA==", "hashes": 0}]
)
def test_a_damaged_filter_is_rejected(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="damaged"):
        TrainedTexts.from_json(data, b"key")


def test_the_card_knows_the_texts_that_the_model_was_trained_on(tmp_path: Path) -> None:
    report = train(EXAMPLES, output=tmp_path / "mails.skops")

    texts = read_trained_texts(report.model)
    assert texts is not None
    assert all(text_identity(text) in texts for text, _ in EXAMPLES)
    assert text_identity("PAY  invoice\u00a03!") in texts
    assert text_identity("pay invoice 99") not in texts


def test_the_card_of_another_model_tells_nothing(tmp_path: Path) -> None:
    report = train(EXAMPLES, output=tmp_path / "mails.skops")
    report.model.write_bytes(report.model.read_bytes() + b"\n")

    assert read_trained_texts(report.model) is None


@pytest.mark.parametrize("card", [None, "", "no JSON", "```json\n[]\n```", "```json\n{}\n```"])
def test_a_card_that_cannot_be_read_tells_nothing(tmp_path: Path, card: str | None) -> None:
    (tmp_path / "mails.skops").write_bytes(b"a model")
    if card is not None:
        (tmp_path / "mails.card.md").write_text(card)

    assert read_trained_texts(tmp_path / "mails.skops") is None
