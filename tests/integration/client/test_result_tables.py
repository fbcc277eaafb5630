"""Results as tables of Arrow, pandas and polars."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import pipeline
from pipeline.errors import InvalidInput
from tests.support.factories import connect, make_definition, make_items
from tests.support.lazy import Lazy

polars = Lazy("polars")

#: Every third item dies until a file is there.
SOURCE = """
from pathlib import Path
import pipeline

def classify(item):
    if item.payload["number"] % 3 == 0 and not Path(__file__).with_name("mended").exists():
        raise pipeline.Permanent("not yet")
    return pipeline.Classification("short", 0.5, {"short": 0.5, "long": 0.5})

def enrich(item):
    return {"characters": len(item.text)}
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[pipeline.Client]:
    with connect(tmp_path) as client:
        yield client


def submitted(client: pipeline.Client, folder: Path, number: int = 9) -> pipeline.Batch:
    items = [{**item, "number": position, "id": f"k{position}"} for position, item in enumerate(make_items(number), 1)]
    batch = client.submit(items, make_definition(folder, SOURCE), key_field="id")
    batch.wait(timeout=60)
    return batch


def test_results_are_one_flat_table(client: pipeline.Client, tmp_path: Path) -> None:
    batch = submitted(client, tmp_path)
    table = batch.to_arrow()
    assert table.num_rows == 9
    rows = {row["key"]: row for row in table.to_pylist()}
    assert set(rows) == {f"k{position}" for position in range(1, 10)}
    good, dead = rows["k1"], rows["k3"]
    assert (good["state"], good["label"], good["confidence"], good["error.message"]) == (
        "succeeded",
        "short",
        0.5,
        None,
    )
    assert good["enrichment"] == '{"enrich":{"characters":13}}'
    assert '"scores":{' in good["classification"]
    assert (dead["state"], dead["label"], dead["error.type"], dead["error.message"]) == (
        "dead", None, "Permanent", "not yet",
    )  # fmt: skip
    for result in batch.results():
        row = rows[result.key or ""]
        assert row["timings.finished_at"] == result.timings.finished_at
        assert row["timings.classified_at"] == result.timings.classified_at
        assert (row["seq"], row["attempts"], row["item_id"]) == (result.seq, result.attempts, result.item_id)


def test_a_replayed_item_has_its_last_result_unless_all_are_wanted(client: pipeline.Client, tmp_path: Path) -> None:
    batch = submitted(client, tmp_path)
    (tmp_path / "mended").touch()
    assert batch.replay_dead() == 3
    batch.wait(timeout=60)
    assert sorted(batch.to_arrow()["key"].to_pylist()) == [f"k{position}" for position in range(1, 10)]
    assert set(batch.to_arrow()["state"].to_pylist()) == {"succeeded"}
    everything = batch.to_arrow(all_ends=True)
    assert everything.num_rows == 12
    assert everything["state"].to_pylist().count("dead") == 3


def test_record_batches_have_the_rows_that_are_wanted(client: pipeline.Client, tmp_path: Path) -> None:
    batch = submitted(client, tmp_path)
    assert [each.num_rows for each in batch.arrow_batches(rows=4)] == [4, 4, 1]
    seqs = [seq for each in batch.arrow_batches(rows=4) for seq in each.column("seq").to_pylist()]
    assert seqs == sorted(seqs)
    for rows in (0, -1, 1.5):
        with pytest.raises(InvalidInput, match="rows"):
            next(batch.arrow_batches(rows=rows))  # type: ignore[arg-type]


def test_record_batches_follow_a_batch_to_its_end(client: pipeline.Client, tmp_path: Path) -> None:
    definition = make_definition(tmp_path, SOURCE)
    batch = client.submit([{**item, "number": 1} for item in make_items(2_500)], definition)
    assert sum(each.num_rows for each in batch.arrow_batches(rows=1_000, follow=True)) == 2_500


def test_a_batch_without_results_has_every_column(tmp_path: Path) -> None:
    gate = "import time\ndef classify(item):\n    time.sleep(30)\n"
    with connect(tmp_path) as client:
        batch = client.submit(make_items(1), make_definition(tmp_path, gate, enrich=False))
        table = batch.to_arrow()
        batch.cancel()
    assert table.num_rows == 0
    assert table.schema.field("timings.finished_at").type == pyarrow.timestamp("us", tz="UTC")
    assert "enrichment" in table.schema.names


def test_data_frames(client: pipeline.Client, tmp_path: Path) -> None:
    batch = submitted(client, tmp_path)
    frame = batch.to_pandas()
    assert frame["label"].value_counts().to_dict() == {"short": 6}
    assert frame["timings.finished_at"].max() <= datetime.now(UTC)
    others = batch.to_polars()
    assert isinstance(others, polars.DataFrame)
    assert others.filter(polars.col("state") == "dead").height == 3
    assert others["key"].to_list() == frame["key"].to_list()


def test_coroutines_give_the_same(tmp_path: Path) -> None:
    async def both() -> tuple[int, int, int]:
        async with pipeline.AsyncClient(database_url=f"sqlite:///{tmp_path / 'async.db'}") as client:
            batch = await client.submit(
                [{**each, "number": 1} for each in make_items(3)], make_definition(tmp_path, SOURCE)
            )
            await batch.wait(timeout=60)
            arrow, pandas, polars = await batch.to_arrow(), await batch.to_pandas(), await batch.to_polars()
            return arrow.num_rows, len(pandas), polars.height

    assert asyncio.run(both()) == (3, 3, 3)


@pytest.mark.parametrize(
    ("missing", "method", "reason"),
    [
        ("pyarrow", "to_arrow", "results as Arrow need pyarrow: pip install 'pipeline.parquet.'"),
        ("pandas", "to_pandas", "needs pandas: pip install pandas"),
        ("polars", "to_polars", "needs polars: pip install polars"),
    ],
)
def test_a_missing_library_is_named(
    client: pipeline.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, method: str, reason: str
) -> None:
    batch = client.submit(make_items(1), make_definition(tmp_path))
    imports = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name == missing:
            raise ImportError(name)
        return imports(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidInput, match=reason):
        getattr(batch, method)()
