"""How far a submission has come: everything that the next process needs to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from pipeline.batches.validate import ValidatorState
from pipeline.domain.inputs.input_cursor import InputCursor


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a submission has come with its last chunk that was stored, and in the same transaction.

    Args:
        stored: items that are stored.
        digest: of the items that were read; see `ItemsDigest`.
        digested: how many those are.
        validator: what is known of the items that were read.
        rejects: where the record of rejected items ends, as `RejectionLog.mark` says it.
    """

    stored: int
    digest: str
    digested: int
    validator: ValidatorState
    rejects: dict[str, Any]

    def to_json(self) -> str:
        """Return it as it is stored."""
        after = self.validator.after
        stored = asdict(self)
        stored["validator"] |= {"after": None if after is None else after.to_json()}
        return orjson.dumps(stored).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the checkpoint of which `to_json` made this text."""
        stored = orjson.loads(text)
        after = stored["validator"].pop("after")
        state = ValidatorState(**stored.pop("validator"), after=None if after is None else InputCursor.from_json(after))
        return cls(**stored, validator=state)
