"""What a failed attempt at a delivery means, for the person who has to do something about it."""

from __future__ import annotations

from pipeline.delivery.rules.delivery import Answer

_MEANINGS = {
    "timeout": "no complete answer within the deadline; answer first, work afterwards",
    "connect_timeout": "the connection was not established in time",
    "connection_refused": "nothing listens at that host and port",
    "connection_reset": "the receiver closed the connection before it answered",
    "network_unreachable": "there is no route to the receiver",
    "connection_failed": "the connection failed",
    "dns_not_found": "the host name does not exist",
    "dns_failure": "the host name could not be looked up",
    "dns_timeout": "looking up the host name took too long",
    "tls_verify": "the receiver's certificate is not valid for its host name, or not trusted here",
    "tls_handshake": "the TLS handshake failed; nothing speaks TLS at that port, or not version 1.2 or later",
    "protocol_error": "the answer is not HTTP/1.1, or its headers are too large",
    "ssrf_blocked": "not sent: the host is not a public one; PIPELINE_ALLOW_PRIVATE_CALLBACKS names those you allow",
    "config_error": "not sent: the callback URL cannot be used",
    "internal_error": "an error of the sender, not of the receiver; its log has the details",
    "http_101": "the receiver switched protocols instead of answering",
    "http_401": "the receiver asks for a login; callbacks prove themselves by their signature",
    "http_404": "nothing answers at that path; check the callback URL",
    "http_405": "the receiver does not take POST at that path",
    "http_410": "the receiver wants no more callbacks; its endpoint is disabled",
    "http_413": "the result is too large for the receiver; raise its limit",
    "http_429": "the receiver asked to wait",
}


def explain(answer: Answer) -> str | None:
    """Return a sentence about a failure, without addresses or content; None for a success."""
    code = answer.code
    if code is None:
        return None
    if answer.status is not None and 300 <= answer.status <= 399:
        target = f" to {answer.location}" if answer.location else ""
        return f"redirected{target}; redirects are not followed: update the callback URL"
    meaning = _MEANINGS.get(code, f"the receiver answered {answer.status}")
    if answer.control == "abort-message":
        return f"{meaning}; the receiver asked not to be sent this event again"
    return meaning
