"""A rule of the keywords classifier, as written in a definition."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.stages.text.normal_form import normalize


class Rule(BaseModel):
    """One `[[classify.rules]]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The item's label if this rule is the first to match; several rules may share a label.
    label: str = Field(min_length=1)
    #: Words or phrases, at least one of which must occur.
    any: tuple[str, ...] = ()
    #: Words or phrases that must all occur.
    all: tuple[str, ...] = ()
    #: Words or phrases that must not occur.
    none: tuple[str, ...] = ()
    #: An RE2 pattern, searched anywhere in the text; an alternative to the words of `any`.
    regex: str | None = Field(default=None, min_length=1)
    #: Rules with a higher priority are tried first.
    priority: int = 0

    @field_validator("any", "all", "none", mode="before")
    @classmethod
    def _wrap_single_word(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("any", "all", "none")
    @classmethod
    def _words_are_not_blank(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        if any(not normalize(word).strip() for word in words):
            raise ValueError("a word is empty or invisible, which would match every text; remove it")
        return words

    @model_validator(mode="after")
    def _has_a_condition(self) -> Rule:
        if not (self.any or self.all or self.regex):
            raise ValueError(
                f"rule with label {self.label!r} has no condition; give it `any`, `all` or `regex`,"
                " or set `default` in [classify] for items that no rule matches"
            )
        return self
