"""The form in which a model reads texts, which is stored with it.

A model must read texts as it did when it was fitted. Models without a form, such as those of other programs, read them
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.stages.text.normal_form import fold

#: The form of new models: normalized, without case. A change of `fold` that changes answers needs another number.
FOLDED = 1

_ATTRIBUTE = "text_form_"


class UnknownTextForm(ValueError):
    """A later version wrote the model."""


def set_text_form(model: Any) -> None:
    """Store with `model` that it reads folded texts."""
    setattr(model, _ATTRIBUTE, FOLDED)


def prepare_texts(model: Any, texts: Sequence[str]) -> list[str]:
    """Return `texts` in the form that `model` reads.

    Raises:
        UnknownTextForm: this version does not know the form.
    """
    form = getattr(model, _ATTRIBUTE, None)
    if form is None:
        return list(texts)
    if form != FOLDED:
        raise UnknownTextForm(f"it reads texts in form {form}, and this version knows form {FOLDED}")
    return [fold(text) for text in texts]
