"""`use = "keywords"`: labels items by hand-written rules of words, phrases and patterns.

Rules are tried by `priority`, highest first, then in file order; the first match determines the label. A rule matches a
text that contains all of `all`, none of `none`, and at least one of `any` or a match of `regex`. Answers have no
confidence, since a person decided.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import Field, model_validator

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import Permanent
from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import ClassifySpec, FieldPath
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.classifiers.rule import Rule
from pipeline.stages.classifiers.ruleset import Ruleset
from pipeline.stages.text.json_path import get_text


class Spec(ClassifySpec):
    """`[classify]` with `use = "keywords"`."""

    rules: tuple[Rule, ...] = Field(min_length=1)
    #: Label if no rule matches; without a default, such an item is dead.
    default: str | None = Field(default=None, min_length=1)
    case_sensitive: bool = False
    #: If True, "refund" does not match "refunded". In scripts without spaces, such as Chinese or Thai, words match
    #: anywhere.
    whole_words: bool = True
    #: Payload field to read instead of the item's text; dots reach nested fields.
    field: FieldPath | None = None

    @model_validator(mode="after")
    def _rules_use_known_labels(self) -> Spec:
        unknown = [label for label in all_labels(self) if self.labels is not None and label not in self.labels]
        if unknown:
            raise ValueError(f"rules answer {unknown!r}, not among `labels`; add it there or correct the rule")
        return self


def all_labels(spec: Spec) -> tuple[str, ...]:
    """Return the distinct labels of all rules in file order, followed by the default."""
    answers = [rule.label for rule in spec.rules]
    if spec.default is not None:
        answers.append(spec.default)
    return tuple(dict.fromkeys(answers))


def files(spec: Spec) -> tuple[str, ...]:
    """Return no paths: the rules are part of the definition."""
    return ()


def build(spec: Spec, folder: Path) -> Step:
    """Build the classifier.

    Raises:
        InvalidDefinition: a pattern is not valid RE2, or the extra `keywords` is not installed.
    """
    try:
        rules = Ruleset(spec.rules, is_case_sensitive=spec.case_sensitive, whole_words=spec.whole_words)
    except ImportError as error:
        raise missing_extra("keywords", "keywords", error) from error
    call = partial(_classify, rules, Classification(spec.default) if spec.default else None, spec.field)
    return Step("keywords", call, Mode.INLINE, is_batched=True, timeout_seconds=spec.timeout_seconds)


def _classify(
    rules: Ruleset, default: Classification | None, field: str | None, items: list[WorkItem]
) -> list[Classification | Permanent]:
    def classify_item(item: WorkItem) -> Classification | Permanent:
        try:
            answer = rules.classify(get_text(item, field)) or default
        except Permanent as error:
            return error
        return answer or Permanent("no rule matched; add `default` to [classify] to label such items")

    return [classify_item(item) for item in items]
