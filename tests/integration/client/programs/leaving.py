"""A program that ends in the middle of its work, without closing its client."""

import asyncio
import json
import os
import signal
import sys
import threading

from batch_of import definition, items

import pipeline

SLOW = "classifiers:wait_at_gate"


def interrupted() -> str:
    # A shell that runs tests in the background has them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    client = pipeline.connect()
    batch = client.submit(items(50), definition(SLOW))
    while not batch.progress().running:
        threading.Event().wait(0.001)
    heard = threading.Event()

    def interrupt() -> None:
        # Again: Python drops one that arrives in the destructor of an object.
        while not heard.wait(0.1):
            os.kill(os.getpid(), signal.SIGINT)

    try:
        threading.Thread(target=interrupt, daemon=True).start()
        batch.wait()
    except KeyboardInterrupt:
        heard.set()
        return batch.id
    raise AssertionError


async def tasks() -> str:
    client = pipeline.AsyncClient()
    batch = await client.submit(items(50), definition(SLOW))
    waiting = asyncio.ensure_future(batch.wait())
    await asyncio.wait([waiting], timeout=0.1)
    return batch.id


if __name__ == "__main__":
    print(json.dumps(asyncio.run(tasks()) if sys.argv[1] == "tasks" else interrupted()))
