"""The file for the node exporter is whole at any time, and gone at the end."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.telemetry.textfile import WARN_SECONDS, TextFile
from tests.support.servers.worker import wait_for


def test_it_is_written_at_once_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.prom"
    file = TextFile(path, lambda: b"x 1\n")
    file.start()
    wait_for(path.exists)
    assert path.read_bytes() == b"x 1\n"
    assert list(tmp_path.iterdir()) == [path]
    file.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.prom"
    path.write_bytes(b"old\n")
    with pytest.raises(TypeError):
        TextFile(path, lambda: "no bytes").write()  # type: ignore[arg-type, return-value]
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_logged_once_an_hour(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 10.0, WARN_SECONDS - 1, WARN_SECONDS, WARN_SECONDS + 1])
    file = TextFile(tmp_path / "missing" / "pipeline.prom", lambda: b"", seconds=lambda: next(times))
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            file.write()
    assert [record.message.partition(" ")[0] for record in caplog.records] == ["metrics_file_not_written"] * 2
    assert "No such file" in caplog.text
