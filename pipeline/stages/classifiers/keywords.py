"""`use = "keywords"`: labels by words, phrases and patterns that a person wrote down.

Rules are tried by `priority`, highest first, then in the order of the file; the first that matches gives the label.
A rule matches where all of `all`, none of `none`, and at least one of `any` or the `regex` stand in the text. Answers
have no confidence: a person decided.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.extra import missing
from pipeline.stages.catalog.spec import ClassifySpec
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.classifiers.rule import Rule
from pipeline.stages.classifiers.ruleset import Ruleset
from pipeline.stages.text.json_path import parse, text_of


class Spec(ClassifySpec):
    """`[classify]` with `use = "keywords"`."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    #: Label where no rule matches; without it such an item is dead.
    default: str | None = Field(default=None, min_length=1)
    case_sensitive: bool = False
    #: "refund" does not match "refunded"; in scripts without spaces, such as Chinese or Thai, words match anywhere.
    whole_words: bool = True
    #: Payload field to read instead of the item's text; dots go deeper.
    field: str | None = Field(default=None, min_length=1)

    @field_validator("field")
    @classmethod
    def _is_path(cls, field: str | None) -> str | None:
        if field is not None:
            parse(field)
        return field

    @model_validator(mode="after")
    def _answers_its_labels(self) -> Spec:
        unknown = [label for label in labels(self) if self.labels is not None and label not in self.labels]
        if unknown:
            raise ValueError(f"rules answer {unknown!r}, not among `labels`; add it there or correct the rule")
        return self


def labels(spec: Spec) -> tuple[str, ...]:
    """Return every label that `spec` can answer, each once, in the order of the file, the default last."""
    answers = [rule.label for rule in spec.rules]
    if spec.default is not None:
        answers.append(spec.default)
    return tuple(dict.fromkeys(answers))


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: rules stand in the definition itself."""
    return ()


def build(spec: Spec, folder: Path) -> Step:
    """Return the classifier.

    Raises:
        InvalidDefinition: a pattern is not RE2, or the extra `keywords` is not installed.
    """
    try:
        rules = Ruleset(spec.rules, is_case_sensitive=spec.case_sensitive, is_whole=spec.whole_words)
    except ImportError as error:
        raise missing("keywords", "keywords", error) from error
    call = partial(_classify, rules, Classification(spec.default) if spec.default else None, spec.field)
    return Step("keywords", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _classify(
    rules: Ruleset, default: Classification | None, field: str | None, items: list[WorkItem]
) -> list[Classification | Permanent]:
    def one(item: WorkItem) -> Classification | Permanent:
        try:
            answer = rules.answer(text_of(item, field)) or default
        except Permanent as error:
            return error
        return answer or Permanent("no rule matched; add `default` to [classify] to label such items")

    return [one(item) for item in items]
