"""Answers of services without the secrets of the requests, which some services repeat in their errors."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

import orjson

from pipeline.domain.body_text import KEPT_BYTES, body_text

#: A shorter value is no secret, and replacing it would garble the answer.
MIN_LENGTH = 4
REPLACEMENT = "[redacted]"


class Redaction:
    """Replaces secrets in answers.

    Args:
        secrets: values that must not be shown, as they are sent; others that follow from them are found as well.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= MIN_LENGTH}
        # The longest first: what is left of it must not be taken for a shorter one.
        self._forms = sorted(forms, key=len, reverse=True)

    def excerpt(self, body: bytes, *, is_complete: bool) -> str | None:
        """Return the beginning of an answer's body, without secrets, as text that every database stores.

        Args:
            is_complete: whether nothing of the body is missing; otherwise its end may be the beginning of a secret.
        """
        # A byte that is not UTF-8 becomes a character of three.
        text = body_text(body, 3 * len(body), is_complete=is_complete) or ""
        for form in self._forms:
            text = text.replace(form, REPLACEMENT)
        if not is_complete:
            text = self._without_cut_secret(text)
        return body_text(text.encode(), KEPT_BYTES, is_complete=True)

    def _without_cut_secret(self, text: str) -> str:
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), MIN_LENGTH - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length]
        return text


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it may appear in text, in JSON and in a URL."""
    for value in (secret, *_password(secret)):
        yield from (value, quote(value), quote(value, safe=""), quote_plus(value))
        yield from (form := orjson.dumps(value).decode()[1:-1], form.replace("/", "\\/"))


def _password(value: str) -> Iterator[str]:
    """Yield the password of Basic authentication, if `value` is one."""
    try:
        user, _, password = b64decode(value, validate=True).decode().partition(":")
    except (NotBase64, ValueError):
        return
    if user and password:
        yield password
