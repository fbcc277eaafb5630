"""The cells of a notebook, run as its kernel does: on an event loop, and the one that connects twice."""

import asyncio
import json

from IPython.core.interactiveshell import InteractiveShell

CONNECT = """
import pipeline
from batch_of import definition, followed, items
client = pipeline.connect()
"""
SUBMIT = "ids.append(followed(client, 20))"
CELLS = [
    "ids = []",
    CONNECT,
    SUBMIT,
    "first = client",
    CONNECT,
    SUBMIT,
    "ids.append(followed(first, 20))",
    "client.close()",
    "first.submit(items(20), definition()).wait(60)",
    "first.close()",
    """
async with pipeline.AsyncClient() as client:
    batch = await client.submit(items(20), definition())
    assert len([result async for result in batch.results(follow=True)]) == 20
    ids.append(batch.id)
""",
]


async def main() -> None:
    shell = InteractiveShell.instance()
    for cell in CELLS:
        result = await shell.run_cell_async(cell, transformed_cell=shell.transform_cell(cell))
        result.raise_error()
    print(json.dumps(shell.user_ns["ids"]))


if __name__ == "__main__":
    asyncio.run(main())
