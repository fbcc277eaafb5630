"""A rule as a definition states it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Rule(BaseModel):
    """One `[[classify.rules]]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What the item is where this rule matches first; several rules may share a label.
    label: str = Field(min_length=1)
    #: Words or phrases of which one is enough.
    any: tuple[str, ...] = ()
    #: Words or phrases that must all be there.
    all: tuple[str, ...] = ()
    #: Words or phrases of which none may be there.
    none: tuple[str, ...] = ()
    #: An RE2 pattern, searched anywhere in the text: an alternative to the words of `any`.
    regex: str | None = Field(default=None, min_length=1)
    #: Higher is tried first.
    priority: int = 0

    @field_validator("any", "all", "none", mode="before")
    @classmethod
    def _one_word_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("any", "all", "none")
    @classmethod
    def _has_no_blank(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if any(not word.strip() for word in words):
            raise ValueError("a word is empty, which would match every text; remove it")
        return words

    @model_validator(mode="after")
    def _asks_for_something(self) -> Rule:
        if not (self.any or self.all or self.regex):
            raise ValueError(
                f"rule with label {self.label!r} asks for nothing; give it `any`, `all` or `regex`,"
                " or use `default` of [classify] for what no rule matches"
            )
        return self
