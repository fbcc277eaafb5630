"""What a submission over HTTP has to say besides its batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.batches.validate import MAX_REJECTIONS
from pipeline.domain.payload import Rejection
from pipeline.http_api.problems import in_api_words

OnError = Literal["fail", "skip"]


@dataclass(slots=True)
class SubmitReport:
    """What a submission has to say besides its batch.

    Args:
        on_error: `skip`: refused items are left out.
    """

    on_error: OnError
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, rejection: Rejection) -> None:
        """Count an item that is left out."""
        self.rejected += 1
        if len(self.errors) < MAX_REJECTIONS:
            self.errors.append({"line": rejection.line, "detail": in_api_words(rejection.reason)})

    def warn(self, message: str) -> None:
        """Keep what the caller should know."""
        self.warnings.append(in_api_words(message))

    @property
    def on_reject(self) -> Any:
        """What is called with refused items; None: one refuses all."""
        return self.add if self.on_error == "skip" else None

    def members(self) -> dict[str, Any]:
        """Return the further members of an answer."""
        found: dict[str, Any] = {"warnings": self.warnings} if self.warnings else {}
        if self.on_error == "skip":
            found |= {"rejected": self.rejected, "errors": self.errors}
        return found
