"""What a body is, as its headers say."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from starlette.datastructures import Headers

from pipeline.domain.bounds import IDEMPOTENCY_KEY
from pipeline.http_api.problems import Problem

#: The format of each type of body that holds items.
FORMATS = {
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/json": "json",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.apache.parquet": "parquet",
}
_JSON = "json"
_PARQUET = "parquet"
_SHA256 = "sha-256"


class BodyFormat(NamedTuple):
    """What a body is.

    Args:
        format: of its items.
        charset: of its text; None: by its byte order mark, or UTF-8.
        is_gzip: whether its headers say that it is compressed.
    """

    format: str
    charset: str | None
    is_gzip: bool

    @property
    def is_json(self) -> bool:
        return self.format == _JSON

    @property
    def is_parquet(self) -> bool:
        return self.format == _PARQUET


def read_format(headers: Headers) -> BodyFormat:
    """Return what a body is.

    Raises:
        Problem: unsupported_media_type.
    """
    media_type, *parameters = headers.get("content-type", "").split(";")
    found = FORMATS.get(media_type.strip().lower())
    if found is None:
        given = f"has the type {media_type.strip()[:80]!r}" if media_type.strip() else "has no Content-Type"
        raise Problem(
            "unsupported_media_type",
            f"the body {given}; send {', '.join(FORMATS)}",
            headers={"Accept": ", ".join(FORMATS)},
        )
    options = dict(each.strip().partition("=")[::2] for each in parameters)
    charset = {name.lower(): value for name, value in options.items()}.get("charset")
    return BodyFormat(found, None if charset is None else charset.strip('"'), _is_gzip(headers))


def _is_gzip(headers: Headers) -> bool:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip"):
        raise Problem(
            "unsupported_media_type",
            f"the body has the Content-Encoding {coding[:80]!r}; send it with gzip, or uncompressed",
            headers={"Accept-Encoding": "gzip"},
        )
    return coding != "identity"


def read_idempotency_key(headers: Headers) -> str | None:
    """Return the caller's name for a submission, with or without quotes around it.

    Raises:
        Problem: bad_idempotency_key.
    """
    given = headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1:
        raise Problem("bad_idempotency_key", "the header Idempotency-Key is given twice")
    key = given[0].strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not all("!" <= character <= "~" for character in key) or not 1 <= len(key) <= IDEMPOTENCY_KEY.most:
        raise Problem(
            "bad_idempotency_key",
            f"Idempotency-Key has {len(key)} characters; it has 1 to {IDEMPOTENCY_KEY.most} of visible ASCII, without "
            "spaces",
        )
    return key


def read_content_digest(headers: Headers) -> str | None:
    """Return the SHA-256 that the body should have, in hexadecimal; None if no header names one.

    Raises:
        Problem: bad_request: it is malformed.
    """
    for member in headers.get("content-digest", "").split(","):
        name, _, value = member.strip().partition("=")
        if name.strip().lower() != _SHA256:
            # Another algorithm, which RFC 9530 lets a server ignore.
            continue
        try:
            digest = base64.b64decode(value.strip().removeprefix(":").removesuffix(":"), validate=True)
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != 32:
            raise Problem("bad_request", "Content-Digest is malformed; send sha-256=:BASE64: of 32 bytes")
        return digest.hex()
    return None
