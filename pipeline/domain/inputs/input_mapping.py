"""How a record of an input becomes the payload of an item, and which text of it is classified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.domain.did_you_mean import quote_name
from pipeline.domain.inputs.field_types import UNFIT, FieldType, convert, plain_text
from pipeline.errors import InvalidInput

#: Characters of a value shown in messages.
_SHOWN = 60
_BLANK_LINE = "\n\n"


@dataclass(frozen=True, slots=True)
class InputMapping:
    """How a record becomes a payload.

    Args:
        rename: old names of fields by their new ones.
        fields: the only fields that are stored; None: all.
        types: what values of fields become.
        on_null: whether a text that is null refuses its item, or is an empty text.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] | None = None
    types: Mapping[str, FieldType] = field(default_factory=dict)
    on_null: Literal["refuse", "empty"] = "refuse"

    def apply(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a record with its fields renamed and converted; the same object if that changes nothing.

        Raises:
            InvalidInput: a field of the new name is there already, or a value does not fit its type.
        """
        if not self.rename and not self.types:
            return payload
        mapped = self._renamed(payload) if self.rename else dict(payload)
        for name, kind in self.types.items():
            if name in mapped:
                mapped[name] = _converted(name, mapped[name], kind)
        return mapped

    def keep(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a payload with the fields that are stored; the same object if all are."""
        if self.fields is None or all(name in self.fields for name in payload):
            return payload
        return {name: payload[name] for name in self.fields if name in payload}

    def source_name(self, name: str) -> str:
        """Return what the field `name` is called in a record."""
        return self.rename.get(name, name)

    def _renamed(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        names = {old: new for new, old in self.rename.items()}
        for old, new in names.items():
            if old in payload and new in payload and new not in names:
                raise InvalidInput(f"it has a field {quote_name(new)} already, which {quote_name(old)} is renamed to")
        return {names.get(name, name): value for name, value in payload.items()}


def text_of(payload: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Return the text of an item: those of the fields, with a blank line between them. Other values have none."""
    if len(fields) == 1:
        value = payload.get(fields[0])
        if isinstance(value, str):
            return value
    texts = [plain_text(payload.get(name)) for name in fields]
    return _BLANK_LINE.join(text for text in texts if text is not UNFIT and text)


def _converted(name: str, value: Any, kind: FieldType) -> Any:
    found = convert(value, kind)
    if found is UNFIT:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        article = "an" if kind in (FieldType.INTEGER, FieldType.INSTANT) else "a"
        raise InvalidInput(f"field {quote_name(name)} is {shown}, where [input.types] has {article} {kind}")
    return found
