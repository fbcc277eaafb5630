"""Submit a file of tickets from Python and print each result as soon as it is there.

    python examples/submit.py [CALLBACK_URL]

Run it twice: the idempotency key finds the first batch, so nothing is done a second time. Callbacks that are still owed
when the program ends are kept and sent by the next run.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipeline

TICKETS = Path(__file__).parent / "support-tickets"


def tickets() -> Iterator[dict[str, Any]]:
    """Yield one ticket at a time; the whole file is never in memory."""
    with open(TICKETS / "tickets.jsonl", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def main() -> None:
    with pipeline.connect() as client:
        batch = client.submit(
            tickets(),
            definition=str(TICKETS / "definition.toml"),
            callback_url=sys.argv[1] if len(sys.argv) > 1 else None,
            idempotency_key="support-tickets-example",
        )
        for result in batch.results(follow=True):
            print(result.seq, result.key, result.label, result.enrichment)
        print(batch.progress())


if __name__ == "__main__":
    main()
