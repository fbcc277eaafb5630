"""What log lines leave out: paths of URLs, messages of exceptions, and tracebacks unless they are asked for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from pipeline import log
from pipeline.telemetry.line_formats import LogFormat
from pipeline.telemetry.log_output import line_formatter

CANARY = "canary-7f3a"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What a process with JSON lines writes."""
    made = io.StringIO()
    handler = logging.StreamHandler(made)
    handler.setFormatter(line_formatter("", LogFormat.JSON))
    logger = logging.getLogger("pipeline.canary")
    logger.addHandler(handler)
    yield made
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def fail() -> None:
    log.redact_urls(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://u:canary@h.example:8443/hooks/canary?token=canary#c failed", "https://h.example:8443 failed"),
        (
            "the database postgresql://u@db/x, and 'redis://r:6379/0'",
            "the database postgresql://db, and 'redis://r:6379'",
        ),
        ("sqlite:////srv/x.db is locked", "sqlite:// is locked"),
        ("no address: a/b", "no address: a/b"),
    ],
)
def test_urls_are_only_scheme_host_and_port(text: str, expected: str) -> None:
    assert log.redact_urls(text) == expected


def test_an_exception_is_its_type_and_our_frames(stream: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    logger = log.get_logger("pipeline.canary")
    try:
        try:
            fail()
        except TypeError as error:
            raise RuntimeError(CANARY) from error
    except RuntimeError:
        logger.exception("round_failed")
    try:
        fail()
    except TypeError:
        logger.exception("round_failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["error_type"], first["frames"]) == ("RuntimeError", [])
    assert second["error_type"] == "TypeError"
    assert second["frames"][-1].startswith("pipeline/log.py:")
    assert second["frames"][-1].endswith(" redact_urls")
    assert CANARY not in stream.getvalue() + caplog.text


def test_a_traceback_is_there_while_debugging(stream: io.StringIO) -> None:
    logging.getLogger("pipeline.canary").setLevel(logging.DEBUG)
    try:
        fail()
    except TypeError:
        log.get_logger("pipeline.canary").exception("round_failed")
    line, _, rest = stream.getvalue().partition("\n")
    assert json.loads(line)["event"] == "round_failed"
    assert "Traceback" in rest


def test_lines_of_other_libraries_are_lines_too(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("pipeline.canary").error("library\nsays %s", "so", exc_info=True)
    (line,) = stream.getvalue().splitlines()
    made = json.loads(line)
    assert (made["event"], made["message"]) == ("library_message", "library\nsays so")
    assert CANARY not in line
