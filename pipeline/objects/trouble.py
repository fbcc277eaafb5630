"""What an object store's failure means. Texts of the library are not passed on: their URLs may hold signatures."""

from __future__ import annotations

from dataclasses import dataclass

#: Codes that a store gives to credentials that do not hold, besides 401 and 403.
_CREDENTIALS = frozenset(
    {"AccessDenied", "AuthenticationFailed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "RequestExpired"}
    | {"SignatureDoesNotMatch", "TokenRefreshRequired"}
)
_MISSING_PLACES = frozenset({"NoSuchBucket", "ContainerNotFound"})
#: Codes of an object that does not exist, in a place that does. A store says none in answer to HEAD.
MISSING = frozenset({"NoSuchKey", "BlobNotFound", "NotFound"})
_LONGEST_CODE = 60


@dataclass(frozen=True, slots=True)
class StoreTrouble:
    """A failure of an object store.

    Args:
        code: the store's own, or ours.
        text: what happened, to follow the name of the bucket or object.
        is_passing: whether repeating the same request soon may help.
    """

    code: str
    text: str
    is_passing: bool


def describe(error: Exception) -> StoreTrouble:
    """Return what a failure of the library means."""
    from obstore import exceptions

    text = str(error)
    code = _between(text, "<Code>", "</Code>")
    if code in _CREDENTIALS or isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        code = code or "AccessDenied"
        return StoreTrouble(code, f"refused the credentials ({code}); renew them", False)
    if code in _MISSING_PLACES:
        return StoreTrouble(code, f"does not exist ({code})", False)
    if isinstance(error, FileNotFoundError):
        return StoreTrouble(code or "NotFound", f"does not exist ({code or 'NotFound'})", False)
    if isinstance(error, exceptions.PreconditionError):
        return StoreTrouble("PreconditionFailed", "was changed in the meantime", False)
    status = _between(text, "non-2xx status code: ", " ")
    if code or status:
        return _of_answer(code, status)
    if "timed out" in text or "Timeout" in text:
        return StoreTrouble("timeout", "did not answer in time", True)
    if "credential" in text.lower():
        return StoreTrouble("no_credentials", "has no credentials: neither its connection nor the environment", False)
    return StoreTrouble("unreachable", "does not answer", True)


def _of_answer(code: str, status: str) -> StoreTrouble:
    if not code and status in ("401", "403"):
        # Of a list, the library only has the number.
        return StoreTrouble("AccessDenied", f"refused the credentials ({status}); renew them", False)
    return StoreTrouble(code or status, f"answered {code or status}", True)


def _between(text: str, before: str, after: str) -> str:
    found = text.partition(before)[2].partition(after)[0]
    return found if 0 < len(found) <= _LONGEST_CODE and found.replace("_", "").isalnum() else ""
