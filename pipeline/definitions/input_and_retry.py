"""The `[input]` and `[retry]` tables of a definition."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.domain.backoff import Backoff
from pipeline.domain.inputs.field_types import FieldType
from pipeline.domain.inputs.input_mapping import InputMapping

Name = Annotated[str, Field(min_length=1)]


def _text_fields(value: object) -> str | tuple[str, ...]:
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError("expected the name of a field, or a list of names that differ")
    return value if isinstance(value, str) else tuple(names)


class InputSpec(BaseModel):
    """`[input]`: which fields of a record hold the item's key and text, and how the record becomes its payload."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    #: Field with the caller's own id. Without it, items only have a key if they are submitted with one.
    key: str | None = Field(default=None, min_length=1)
    #: Field with the text that the classifier reads; or several, whose texts are put together.
    text: Annotated[str | tuple[str, ...], BeforeValidator(_text_fields)] = "text"
    #: What happens to an item whose text is empty: a classifier would give it a label like any other.
    empty: Literal["refuse", "accept"] = "refuse"
    #: What happens to an item whose text is null: it is refused, or its text is empty.
    on_null: Literal["refuse", "empty"] = "refuse"
    #: Old names of fields by their new ones.
    rename: dict[Name, Name] = Field(default_factory=dict)
    #: The only fields that are stored. Default: all.
    fields: tuple[Name, ...] | None = Field(default=None, min_length=1)
    #: What values of fields become; a value that does not fit refuses its item.
    types: dict[Name, FieldType] = Field(default_factory=dict)

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The fields with the text that the classifier reads."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @model_validator(mode="after")
    def _fields_fit_together(self) -> InputSpec:
        old = list(self.rename.values())
        twice = next((name for name in old if old.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"rename gives {twice!r} two names; give it one")
        missing = [name for name in self.text_fields if self.fields is not None and name not in self.fields]
        if missing:
            raise ValueError(f"fields lacks {missing[0]!r}, which the classifier reads")
        return self


def input_mapping(spec: InputSpec) -> InputMapping:
    """Return how a record becomes a payload."""
    return InputMapping(spec.rename, spec.fields, spec.types, spec.on_null)


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
