"""The common fields of `[classify]` and `[[enrich]]` tables; each classifier and enricher adds its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipeline.stages.text.json_path import parse_path


def _check_path(path: str) -> str:
    parse_path(path)
    return path


#: The path of a payload field, such as "subject" or "account.domain".
FieldPath = Annotated[str, Field(min_length=1), AfterValidator(_check_path)]


class StageSpec(BaseModel):
    """Fields of every `[classify]` and `[[enrich]]` table."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)

    #: The classifier or enricher: the name of a built-in, or "module:callable".
    use: str = Field(min_length=1)
    #: Longest time that the stage may take for one item.
    timeout_seconds: float = Field(default=30.0, gt=0, le=3600)


class ClassifySpec(StageSpec):
    """Fields of every `[classify]` table."""

    #: The allowed labels; any other answer is a permanent error of the item. None allows any label.
    labels: tuple[str, ...] | None = Field(default=None, min_length=1)
    #: Store each answer before the item is enriched, so that a crash meanwhile never asks for it again. For classifiers
    #: whose answers cost money or a long time; others are stored together with the enrichment, if that follows soon.
    durable: bool = False


class EnrichSpec(StageSpec):
    """Fields of every `[[enrich]]` table."""

    #: Key of the answer under `enrichment`; defaults to the name of the enricher or callable.
    name: str | None = Field(default=None, min_length=1)
    #: Let items wait instead of failing while its service refuses everybody: once 20 of the last 25 calls got 401, 403
    #: or 5xx, or no connection. A probe every few seconds finds out when it works again.
    breaker: bool = True
