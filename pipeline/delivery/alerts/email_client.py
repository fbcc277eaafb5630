"""Sends an alert as an e-mail, through an SMTP server of the operator."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import orjson

from pipeline.alerts.rules.channel import AlertChannel
from pipeline.alerts.rules.formats import facts, headline
from pipeline.alerts.rules.message import AlertEventType
from pipeline.delivery.rules.delivery import REJECTED, TIMEOUT, Answer

#: Seconds for each step of the conversation.
TIMEOUT_SECONDS = 15.0
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
#: What an accepted e-mail is recorded as: the server has it, and nobody has read it.
_ACCEPTED = 202


def make_email(channel: AlertChannel, body: bytes) -> EmailMessage:
    """Return the e-mail about an alert. Every attempt has the same `Message-ID`; the end refers to the beginning."""
    event = orjson.loads(body)
    is_firing, data = event["type"] == AlertEventType.FIRING, event["data"]
    host = channel.options["from"].rpartition("@")[2].rstrip(">") or "pipeline"
    opening = f"<{data['alert_id']}@{host}>"
    message = EmailMessage()
    # A header is one line, and the summary may have several.
    message["Subject"] = " ".join(headline(data, is_firing).split())[:200]
    message["From"], message["To"] = channel.options["from"], channel.options["to"]
    message["Date"] = event["timestamp"]
    message["Auto-Submitted"] = "auto-generated"
    message["Message-ID"] = opening if is_firing else f"<{data['alert_id']}.resolved@{host}>"
    if not is_firing:
        message["In-Reply-To"] = message["References"] = opening
    lines = [f"{name}: {value}" for name, value in facts(data)] + ([] if data["url"] is None else [data["url"]])
    message.set_content("\n".join([headline(data, is_firing), "", *lines, ""]))
    return message


def send_email(channel: AlertChannel, body: bytes) -> Answer:
    """Send an alert. A refusal that the server calls permanent (5xx) is not tried again."""
    message = make_email(channel, body)
    parts = urlsplit(channel.url)
    try:
        with _connect(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]) as server:
            if parts.scheme == "smtp+starttls":
                server.starttls(context=ssl.create_default_context())
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except TimeoutError:
        return Answer(error=TIMEOUT)
    except smtplib.SMTPRecipientsRefused as error:
        return _refusal(max(code for code, _ in error.recipients.values()))
    except smtplib.SMTPResponseException as error:
        return _refusal(error.smtp_code)
    except (smtplib.SMTPException, OSError) as error:
        return Answer(error="connection_failed", text=type(error).__name__)
    return Answer(status=_ACCEPTED)


def _connect(scheme: str, host: str, port: int) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)


def _refusal(code: int) -> Answer:
    return Answer(error=REJECTED if code >= 500 else "smtp_later", text=f"SMTP {code}")
