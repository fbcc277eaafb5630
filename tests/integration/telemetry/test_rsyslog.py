"""rsyslog, a shipper of the field, reads our lines with the configuration that the documents show."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.telemetry.line_formats import LogFormat, LogLine, encode_attempt
from tests.support.paths import ROOT
from tests.support.receivers.owed import wait_until

LINES = 2_000
PAGE = ROOT / "docs" / "reference" / "log-events.md"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(shutil.which("rsyslogd") is None, reason="rsyslogd is not installed"),
]


def test_rsyslog_parses_every_line(tmp_path: Path) -> None:
    shown = re.search(r"```text\n(module\(load=\"imfile\"\).*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    (tmp_path / "rsyslog.conf").write_text(
        f'global(workDirectory="{tmp_path}")\n' + shown[1].replace("/var/log/", f"{tmp_path}/"), encoding="utf-8"
    )
    attempts = [{"item": f"b-{number}", "outcome": "succeeded", "stage": "classify"} for number in range(LINES)]
    lines = [
        encode_attempt(LogLine(1.5, "info", "pipeline.items", "item_attempt", each), LogFormat.JSON)
        for each in attempts
    ]
    (tmp_path / "pipeline.log").write_bytes(b"\n".join([*lines[:10], b"broken {", *lines[10:], b""]))
    command = ["rsyslogd", "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    parsed, broken = tmp_path / "pipeline-parsed.log", tmp_path / "pipeline-broken.log"
    try:
        wait_until(lambda: process.poll() is not None or (parsed.exists() and parsed.read_text().count("\n") == LINES))
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert parsed.exists(), said
    assert parsed.read_text(encoding="utf-8").splitlines() == [
        f"item_attempt {each['item']} succeeded" for each in attempts
    ]
    assert broken.read_text(encoding="utf-8").count("broken {") == 1
