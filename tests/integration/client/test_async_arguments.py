"""An asynchronous client refuses the same arguments."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pipeline

DEFINITION = pipeline.Definition(
    name="d", classify={"use": "keywords", "default": "other", "rules": [{"label": "x", "any": ["x"]}]}
)


def test_an_asynchronous_client_raises_the_same(tmp_path: Path) -> None:
    nested: list[object] = []
    for _ in range(2_000):
        nested = [nested]

    async def raised() -> list[type[Exception]]:
        found: list[type[Exception]] = []
        async with pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'pipeline.db'}") as client:
            batch = await client.submit([{"text": "x"}], DEFINITION)
            for call in (
                lambda: client.submit(5, DEFINITION),  # type: ignore[arg-type]
                lambda: client.submit([{"text": "x"}], None),  # type: ignore[arg-type]
                lambda: client.batch(5),  # type: ignore[arg-type]
                lambda: client.delivery(nested),  # type: ignore[arg-type]
                lambda: batch.wait(math.nan),
                lambda: batch.replay_dead("x"),
                lambda: client.work(only="last"),  # type: ignore[arg-type]
                lambda: anext(client.batches(limit=0)),
                lambda: anext(batch.results(after="x")),  # type: ignore[arg-type]
            ):
                try:
                    await call()  # type: ignore[no-untyped-call]
                except Exception as error:
                    found.append(type(error))
        return found

    assert asyncio.run(raised()) == [pipeline.InvalidArgument] * 9
