"""How far reading has come, in words."""

from __future__ import annotations

import pytest

from pipeline.cli.show.read_progress import ReadPace, format_bytes
from pipeline.sources import ReadProgress


def test_pace_and_time_left_are_of_this_attempt():
    now = 0.0
    pace = ReadPace(lambda: now)
    total = 1_200_000_000
    # An earlier attempt has stored half of it.
    assert pace.describe(500_000, ReadProgress(600_000_000, total)) == "500,000 items · 50 % of 1.2 GB"
    now = 10.0
    assert pace.describe(600_000, ReadProgress(720_000_000, total)) == (
        "600,000 items · 60 % of 1.2 GB · 10,000/s · 40 s left"
    )
    assert pace.describe(700_000, ReadProgress(total, total)) == "700,000 items · 100 % of 1.2 GB · 20,000/s"


def test_what_is_not_known_is_left_out():
    now = 0.0
    pace = ReadPace(lambda: now)
    pace.describe(0, ReadProgress(0, None))
    now = 2.0
    assert pace.describe(1_000, ReadProgress(5_000, None)) == "1,000 items · 500/s"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (123_456, "123 kB"), (10**13, "10.0 TB")]
)
def test_bytes_are_readable(size, text):
    assert format_bytes(size) == text
