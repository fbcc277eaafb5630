"""Follow the results of a batch from asyncio, while other coroutines run.

python examples/async_results.py
"""

import asyncio

import pipeline

QUESTIONS = ["Where is my parcel?", "Please refund the second payment.", "I forgot my password."]


async def main() -> None:
    async with pipeline.AsyncClient() as client:
        batch = await client.submit(
            ({"ticket_id": f"Q-{number}", "body": text} for number, text in enumerate(QUESTIONS, 1)),
            definition="examples/support-tickets/definition.toml",
        )
        async for result in batch.results(follow=True):
            print(result.key, result.label)


if __name__ == "__main__":
    asyncio.run(main())
