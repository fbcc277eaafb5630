"""What a definition may say about a stage; each kind of classifier or enricher adds its own fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class StageSpec(BaseModel):
    """Fields that every `[classify]` and `[[enrich]]` table has."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)

    #: Which classifier or enricher: a name of ours, or "module:callable".
    use: str = Field(min_length=1)
    #: Bounds one item's stage.
    timeout_seconds: float = Field(default=30.0, gt=0, le=3600)


class ClassifySpec(StageSpec):
    """Base of every `[classify]` table."""

    #: The labels that may be answered; any other is the item's permanent error. None: any.
    labels: tuple[str, ...] | None = Field(default=None, min_length=1)


class EnrichSpec(StageSpec):
    """Base of every `[[enrich]]` table."""

    #: Key of the answer under `enrichment`; default: the enricher's or callable's name.
    name: str | None = Field(default=None, min_length=1)
