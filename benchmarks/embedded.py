"""The embedded mode: SQLite and threads of one process, every item called back.

python -m benchmarks.embedded [--items 20000] [--rounds 3] [--json FILE]

To see where the time goes: py-spy record --gil --threads -o profile.svg -- python -m benchmarks.embedded
"""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

import click

import pipeline
from benchmarks.comparison.receiver import Receiver
from benchmarks.figures import Figures, json_option, write
from benchmarks.job import SECRET_TEXT, text_of
from benchmarks.passage import LONGEST_SECONDS, WARM_UP_ITEMS, require
from benchmarks.processes import own_processor_seconds
from benchmarks.stand import DEFINITION
from pipeline.database.engine import Database
from tests.support.servers.worker import wait_for
from workers.garbage_collector import calm

LOOK_SECONDS = 0.01


@click.command()
@click.option("--items", default=20_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@json_option
def main(items: int, rounds: int, json_file: Path | None) -> None:
    """Measure items a second from the call that submits them to the last callback, in this process."""
    # As `pipeline run` does: this process is our own.
    calm()
    heads = {"accepted in, s": ".2f", "items/s": ",.0f", "ms of a core an item": ".3f"}
    figures = Figures(f"{items:,} items", heads)
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name, Receiver() as receiver:
        definition = Path(name) / "benchmark.toml"
        definition.write_text(DEFINITION)
        url = f"sqlite:///{name}/pipeline.db"
        with pipeline.connect(
            database_url=url,
            webhook_secret=SECRET_TEXT,
            allow_private_callbacks="127.0.0.0/8",
        ) as client:
            _run(client, url, definition, receiver, WARM_UP_ITEMS)
            for number in range(1, rounds + 1):
                spent = own_processor_seconds()
                accepted, seconds = _run(client, url, definition, receiver, items)
                spent = own_processor_seconds() - spent
                figures.add(f"round {number}", accepted, items / seconds, spent / items * 1e3)
    write(json_file, figures)


def _run(client: pipeline.Client, url: str, definition: Path, receiver: Receiver, items: int) -> tuple[float, float]:
    """Send items through; return the seconds until they were accepted, and until all were called back."""
    receiver.forget()
    started = time.monotonic()
    texts = ({"text": text_of(number)} for number in range(items))
    batch = client.submit(texts, str(definition), callback_url=receiver.url)
    accepted = time.monotonic() - started
    client.work()
    while len(receiver.ids()) < items and time.monotonic() < started + LONGEST_SECONDS:
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - started
    wait_for(lambda: batch.progress().is_complete)
    with closing(Database(url)) as database:
        require(database, batch, items, receiver.ids())
    return accepted, seconds


if __name__ == "__main__":
    main()
