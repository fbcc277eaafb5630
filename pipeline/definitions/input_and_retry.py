"""The small tables of a definition: `[input]` and `[retry]`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.domain.backoff import Backoff


class Input(BaseModel):
    """`[input]`: which fields of a payload mean what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Field with the caller's own id; without it items have no key unless one is given with them.
    key: str | None = Field(default=None, min_length=1)
    #: Field that the classifier reads.
    text: str = Field(default="text", min_length=1)


class Retry(BaseModel):
    """`[retry]`: how often and how far apart an item is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Attempts at each item, the first included.
    max_attempts: int = Field(default=5, ge=1, le=100)
    #: Bound of the delay after the first attempt; it doubles with each.
    base_seconds: float = Field(default=1.0, ge=0, le=86_400, allow_inf_nan=False)
    #: Longest delay.
    cap_seconds: float = Field(default=300.0, ge=0, le=604_800, allow_inf_nan=False)

    @model_validator(mode="after")
    def _cap_is_not_below_base(self) -> Retry:
        if self.cap_seconds < self.base_seconds:
            raise ValueError(f"cap_seconds = {self.cap_seconds:g} is below base_seconds = {self.base_seconds:g}")
        return self

    def backoff(self) -> Backoff:
        """Return the delays these settings mean."""
        return Backoff(timedelta(seconds=self.base_seconds), timedelta(seconds=self.cap_seconds))
