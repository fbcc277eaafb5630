"""Which texts a model was trained on, without the texts: a Bloom filter of keyed digests, stored in the model card.

About one in 10,000 texts that the model was not trained on is taken for one that it was. The filter takes 2.4 bytes per
text. Whoever has the card can find out whether a text that they already have was trained on, and nothing else.
"""

from __future__ import annotations

import hashlib
import math
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Share of other texts that are taken for trained ones.
FALSE_POSITIVES = 0.0001

_BITS_PER_TEXT = -math.log(FALSE_POSITIVES) / math.log(2) ** 2
_HASHES = round(_BITS_PER_TEXT * math.log(2))


@dataclass(frozen=True, slots=True, repr=False)
class TrainedTexts:
    """A set of texts, given by their identities.

    Args:
        key: the key of the digests, so that those of different models cannot be compared.
        bits: the filter.
        hashes: bits set for each text.
    """

    key: bytes
    bits: bytes
    hashes: int

    @classmethod
    def of(cls, identities: Iterable[str], key: bytes) -> TrainedTexts:
        """Return the set of these texts."""
        distinct = set(identities)
        bits = bytearray(math.ceil(len(distinct) * _BITS_PER_TEXT / 8) or 1)
        for identity in distinct:
            for position in _positions(identity, key, _HASHES, len(bits) * 8):
                bits[position // 8] |= 1 << position % 8
        return cls(key, bytes(bits), _HASHES)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], key: bytes) -> TrainedTexts:
        """Return the set that `to_json` described.

        Raises:
            ValueError: the description is damaged.
        """
        try:
            bits, hashes = b64decode(data["bits"], validate=True), int(data["hashes"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("the trained texts of a model card are damaged") from error
        if not bits or not 0 < hashes <= 64:
            raise ValueError("the trained texts of a model card are damaged")
        return cls(key, bits, hashes)

    def to_json(self) -> dict[str, Any]:
        """Return the set as JSON values, without the key."""
        return {"bits": b64encode(self.bits).decode(), "hashes": self.hashes}

    def __contains__(self, identity: str) -> bool:
        positions = _positions(identity, self.key, self.hashes, len(self.bits) * 8)
        return all(self.bits[position // 8] >> position % 8 & 1 for position in positions)


def _positions(identity: str, key: bytes, hashes: int, size: int) -> Iterator[int]:
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()
    first, step = int.from_bytes(digest[:8]), int.from_bytes(digest[8:]) | 1
    return ((first + number * step) % size for number in range(hashes))
