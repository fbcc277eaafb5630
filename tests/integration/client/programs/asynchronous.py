"""An application with a client of its module, in processes that import it anew."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from batch_of import definition, items
from fastapi import FastAPI

import pipeline

client = pipeline.AsyncClient()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with client:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/batches")
async def submit() -> dict[str, Any]:
    batch = await client.submit(items(20), definition())
    seen = {result.item_id async for result in batch.results(follow=True)}
    return {"batch": batch.id, "seen": len(seen), "process": os.getpid()}
