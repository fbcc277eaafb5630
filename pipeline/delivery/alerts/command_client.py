"""Gives an alert to a program: JSON on its standard input, and the most important in its environment."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from contextlib import suppress

import orjson

from pipeline.alerts.rules.channel import AlertChannel
from pipeline.delivery.rules.delivery import REJECTED, TIMEOUT, Answer
from pipeline.domain.body_text import body_text

#: Seconds until the program is killed, with all that it started.
TIMEOUT_SECONDS = 30.0
#: Exit code with which a program asks to be called again later: EX_TEMPFAIL.
TRY_LATER = 75
#: Bytes of its output that are kept.
_KEPT_BYTES = 4_096
_ACCEPTED = 202


def run_command(channel: AlertChannel, body: bytes, timeout: float = TIMEOUT_SECONDS) -> Answer:
    """Run the program of a channel, without a shell. 0: it has taken the alert; 75: try again later.

    Args:
        timeout: seconds after which it is killed.
    """
    event = orjson.loads(body)
    data = event["data"]
    # Without the prefix of settings: the program may be `pipeline`, which refuses settings that it does not know.
    environment = os.environ | {
        "ALERT_ID": data["alert_id"],
        "ALERT_NAME": data["name"],
        "ALERT_STATE": event["type"].rpartition(".")[2],
        "ALERT_SEVERITY": data["severity"],
    }
    # To a file: a program that writes without end fills no memory, and one that nobody waits for closes no pipe.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as given:
        given.write(body)
        given.seek(0)
        try:
            program = subprocess.Popen(
                list(channel.command),
                stdin=given,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            return Answer(error=REJECTED, text=f"{channel.command[0]}: {error.strerror}")
        try:
            code = program.wait(timeout)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
            return Answer(error=TIMEOUT)
        output.seek(0)
        text = body_text(output.read(_KEPT_BYTES), _KEPT_BYTES, is_complete=True)
    if code == 0:
        return Answer(status=_ACCEPTED, text=text)
    return Answer(error="try_later" if code == TRY_LATER else REJECTED, text=text)
