"""What the batches of an ordeal are classified and enriched with: each item says what becomes of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from pipeline import Permanent, Transient, batched


@batched(max_items=64)
def classify(items: list[Any]) -> list[str]:
    if any(item.payload["kind"] == "poison" for item in items):
        os._exit(66)
    return [item.payload["kind"] for item in items]


async def enrich(item: Any) -> dict[str, int]:
    match item.payload["kind"]:
        case "held":
            # Under way until the ordeal says that what was to strike has struck.
            while not Path(item.payload["gate"]).exists():
                await asyncio.sleep(0.05)
        case "slow":
            await asyncio.sleep(0.3)
        case "flaky" if item.attempt == 1:
            raise Transient("not the first time")
        case "fatal":
            raise Permanent("never")
    return {"characters": len(item.text)}
