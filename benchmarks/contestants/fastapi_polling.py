"""The way by hand to show results as they come: FastAPI, SQLAlchemy, a polling loop per connection, offset pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, Text, func, insert, select
from sqlalchemy.orm import Session

from pipeline.database.tables import events, items

#: Where it stores what is uploaded.
uploaded = Table(
    "by_hand_items",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("payload", Text),
    Column("state", String(20), index=True),
)

#: Between two looks of a connection: what examples on the web have.
POLL_SECONDS = 0.5
PAGE = 100


def make_app(engine: Engine) -> FastAPI:
    """Return an application that reads the events of batches from their table."""
    app = FastAPI()

    @app.get("/v1/batches/{batch}/events")
    async def stream(batch: int) -> StreamingResponse:
        return StreamingResponse(follow(engine, batch), media_type="text/event-stream")

    @app.get("/v1/batches/{batch}/results")
    def page(batch: int, offset: int = 0, limit: int = PAGE) -> dict[str, object]:
        of_batch = events.c.batch_id == batch
        query = select(events.c.body).where(of_batch).order_by(events.c.seq).offset(offset).limit(limit)
        with engine.connect() as connection:
            found = [json.loads(body)["data"] for body in connection.scalars(query)]
            total = connection.scalar(select(func.count()).select_from(events).where(of_batch))
        return {"results": found, "total": total}

    @app.get("/v1/batches/{batch}")
    def show(batch: int) -> dict[str, object]:
        query = select(items.c.state, func.count()).where(items.c.batch_id == batch).group_by(items.c.state)
        with engine.connect() as connection:
            return {"batch_id": batch, **{state: number for state, number in connection.execute(query)}}

    @app.post("/v1/batches", status_code=201)
    async def submit(request: Request) -> dict[str, object]:
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        return {"total": await asyncio.to_thread(store, engine, lines)}

    return app


def store(engine: Engine, lines: list[dict[str, object]]) -> int:
    """Store payloads in one transaction, as SQLAlchemy's tutorial has it, and return their number."""
    with Session(engine) as session:
        uploaded.create(engine, checkfirst=True)
        session.execute(insert(uploaded), [{"payload": json.dumps(line), "state": "pending"} for line in lines])
        session.commit()
    return len(lines)


async def follow(engine: Engine, batch: int) -> AsyncIterator[str]:
    """Yield the events of a batch for one connection."""
    seen = 0
    while True:
        found = await asyncio.to_thread(read_after, engine, batch, seen)
        for seq, body in found:
            seen = seq
            yield f"id: {seq}\ndata: {json.dumps(json.loads(body))}\n\n"
        if not found:
            yield ": alive\n\n"
        await asyncio.sleep(POLL_SECONDS)


def read_after(engine: Engine, batch: int, seq: int) -> list[tuple[int, bytes]]:
    """Return the events of a batch that follow a position."""
    newer = (events.c.batch_id == batch) & (events.c.seq > seq)
    query = select(events.c.seq, events.c.body).where(newer).order_by(events.c.seq).limit(1_000)
    with engine.connect() as connection:
        return [(seq, bytes(body)) for seq, body in connection.execute(query)]
