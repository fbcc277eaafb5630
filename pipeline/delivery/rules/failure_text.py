"""Explain a failed attempt to the person who has to fix it."""

from __future__ import annotations

from pipeline.delivery.rules.delivery import Answer

_MEANINGS = {
    "timeout": "no complete response within the deadline; respond first, then do the work",
    "connect_timeout": "the connection was not established in time",
    "connection_refused": "nothing is listening on that host and port",
    "connection_reset": "the receiver closed the connection before it responded",
    "network_unreachable": "there is no route to the receiver",
    "connection_failed": "the connection failed",
    "dns_not_found": "the host name does not exist",
    "dns_failure": "the host name could not be looked up",
    "dns_timeout": "the lookup of the host name timed out",
    "tls_verify": "the receiver's certificate does not match its host name, or is not trusted",
    "tls_handshake": "the TLS handshake failed; the port does not speak TLS, or not version 1.2 or later",
    "protocol_error": "the response is not HTTP/1.1, or its headers are too large",
    "unavailable": "the target has no leader, too few replicas, or is starting; see its own log",
    "refused": "the target refused the message; its answer says why, often a full queue",
    "unroutable": "no queue is bound for that routing key; bind one, or correct the target's URL",
    "target_missing": "there is no such exchange, stream or topic; create it, or correct the target's URL",
    "auth_refused": "the target refused the user name, the password, or the right to send",
    "throttled": "the target asked to wait",
    "too_large": "the message is larger than the target takes",
    "rejected": "the target will never take this message; its answer says why",
    "connection_missing": "not sent: this process lacks the connection or one of its variables; see `pipeline doctor`",
    "client_missing": "not sent: this process lacks the client of the protocol; see `pipeline doctor`",
    "ssrf_blocked": "not sent: the address is not public; allow it with PIPELINE_ALLOW_PRIVATE_CALLBACKS",
    "config_error": "not sent: the callback URL is invalid",
    "internal_error": "an error in the sender, not the receiver; see its log",
    "http_101": "the receiver switched protocols instead of responding",
    "http_401": "the receiver requires authentication; callbacks are authenticated by their signature",
    "http_404": "the receiver has nothing at that path; check the callback URL",
    "http_405": "the receiver does not accept POST at that path",
    "http_410": "the receiver wants no more callbacks; the endpoint is disabled",
    "http_413": "the result is too large for the receiver; raise its limit",
    "http_429": "the receiver asked to wait",
}


def explain(answer: Answer) -> str | None:
    """Explain a failure in one sentence, without addresses or content; None for a success."""
    code = answer.code
    if code is None:
        return None
    if answer.status is not None and 300 <= answer.status <= 399:
        target = f" to {answer.location}" if answer.location else ""
        return f"redirected{target}; redirects are not followed, so update the callback URL"
    meaning = _MEANINGS.get(code, f"the receiver responded with {answer.status}")
    if answer.control == "abort-message":
        return f"{meaning}; the receiver asked not to get this event again"
    return meaning


def consequence(answer: Answer) -> str | None:
    """Return what the response to a ping would cause if it answered a callback; None: nothing out of the ordinary."""
    if answer.status == 410 or answer.control == "disable":
        return "this response to a callback disables the endpoint"
    if answer.control == "abort-message" and not answer.is_success:
        return "this response to a callback makes the callback dead at once"
    return None
