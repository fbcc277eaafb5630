"""The `[input]` and `[retry]` tables of a definition."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.domain.backoff import Backoff


class InputSpec(BaseModel):
    """`[input]`: the payload fields with the item's key and text."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    #: Field with the caller's own id. Without it, items only have a key if they are submitted with one.
    key: str | None = Field(default=None, min_length=1)
    #: Field with the text that the classifier reads.
    text: str = Field(default="text", min_length=1)
    #: What happens to an item whose text is empty: a classifier would give it a label like any other.
    empty: Literal["refuse", "accept"] = "refuse"


class RetrySpec(BaseModel):
    """`[retry]`: how often an item is attempted, and how long to wait in between."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    #: Attempts per item, including the first.
    max_attempts: int = Field(default=5, ge=1, le=100)
    #: Upper bound of the delay after the first attempt; it doubles with each further one.
    base_seconds: float = Field(default=1.0, ge=0, le=86_400, allow_inf_nan=False)
    #: Longest possible delay.
    cap_seconds: float = Field(default=300.0, ge=0, le=604_800, allow_inf_nan=False)

    @model_validator(mode="after")
    def _cap_is_not_below_base(self) -> RetrySpec:
        if self.cap_seconds < self.base_seconds:
            raise ValueError(f"cap_seconds = {self.cap_seconds:g} is below base_seconds = {self.base_seconds:g}")
        return self


def make_backoff(retry: RetrySpec) -> Backoff:
    """Return the backoff with these settings."""
    return Backoff(timedelta(seconds=retry.base_seconds), timedelta(seconds=retry.cap_seconds))
