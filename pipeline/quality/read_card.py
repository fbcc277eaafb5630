"""Reads from a model card which texts the model was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson

from pipeline.quality.model_card import card_path
from pipeline.quality.trained_texts import TrainedTexts


def read_trained_texts(model: Path) -> TrainedTexts | None:
    """Return the texts that a model was trained on, or None if it has no card, or one without them.

    Args:
        model: the model's file. A card that was written for another file, such as an older model, does not count.
    """
    facts = _read_facts(card_path(model))
    if not isinstance(facts, dict) or facts.get("model_hash") != hash_file(model):
        return None
    try:
        return TrainedTexts.from_json(facts["trained_texts"], digest_key(facts["data_hash"]))
    except (KeyError, TypeError, ValueError):
        # Written by an older version, or edited.
        return None


def digest_key(data_hash: str) -> bytes:
    """Return the key of the digests of the texts with this hash."""
    return bytes.fromhex(data_hash)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_facts(card: Path) -> Any:
    try:
        text = card.read_text(encoding="utf-8")
        return orjson.loads(text.rpartition("```json\n")[2].partition("\n```")[0])
    except (OSError, ValueError):
        return None
