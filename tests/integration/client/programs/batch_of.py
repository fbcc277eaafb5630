"""What the programs have in common."""

from pathlib import Path

import pipeline

GATE = Path(__file__).parent / "gate"


def definition(use: str = "classifiers:classify") -> pipeline.Definition:
    return pipeline.Definition(
        folder=Path(__file__).parent, name="test", input={"text": "text"}, classify={"use": use, "timeout_seconds": 600}
    )


def items(number: int) -> list[dict[str, str]]:
    return [{"text": str(each)} for each in range(number)]


def followed(client: pipeline.Client, number: int) -> str:
    """Submit a batch, follow it to its end, and return its id."""
    batch = client.submit(items(number), definition())
    assert len({result.item_id for result in batch.results(follow=True)}) == number
    return batch.id
