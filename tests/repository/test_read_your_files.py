"""What the page on reading files shows is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.pages import Desk, blocks, commands, reader_environment

PAGE = "docs/how-to/read-your-files.md"


def test_the_page_on_reading_files_is_true(tmp_path: Path) -> None:
    desk = Desk(tmp_path, reader_environment())
    desk.save(PAGE)
    for typed in commands(PAGE):
        for line in typed:
            if line.startswith(("pipeline", "python")):
                # The first look at the export finds that it cannot be read as it is.
                refused = line == "pipeline peek export.csv"
                shown = desk.type(line, expected=int(refused)).stdout
                if refused:
                    (said,) = (block.text for block in blocks(PAGE) if block.language == "text")
                    assert said in shown
            else:
                subprocess.run(line, shell=True, cwd=tmp_path, check=True, timeout=60)  # noqa: S602 - of the page
    # In the order in which they finished.
    results = sorted(map(json.loads, desk.read("results.jsonl").splitlines()), key=lambda each: int(each["key"][2:]))
    assert [(each["key"], each["label"]) for each in results] == [(f"T-{n}", "billing") for n in range(1, 21)]
    (rejected,) = map(json.loads, desk.read("rejected.jsonl").splitlines())
    assert rejected["line"] == 2
