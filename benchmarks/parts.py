"""Where the processor time of an item goes: to stages, dispatch and callbacks, broker, database.

python -m benchmarks.parts [--items 20000] [--broker redis|rabbitmq] [--layout divided|together] [--rounds 3]
                           [--against CHECKOUT]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from sqlalchemy import text

from benchmarks.delivery import sink
from benchmarks.stand import Layout, Stand, stand
from tests.support.servers.guard import descendants
from tests.support.servers.server import Server

HERE = Path(__file__).parents[1]
LOOK_SECONDS = 0.1
RATE = "items/s, the last callback answered"


@click.command()
@click.option("--items", default=20_000, show_default=True)
@click.option("--processes", default=1, show_default=True, help="Worker processes for the stages.")
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="redis", show_default=True)
@click.option(
    "--layout",
    type=click.Choice([layout.value for layout in Layout]),
    default=Layout.DIVIDED.value,
    show_default=True,
    help="Stages apart from dispatch and callbacks, or everything in each worker.",
)
@click.option("--rounds", default=3, show_default=True)
@click.option("--against", type=click.Path(path_type=Path, exists=True), help="Another checkout, measured in turn.")
@click.option("--once", is_flag=True, hidden=True, help="One run of what PYTHONPATH says; JSON on stdout.")
def main(items: int, processes: int, broker: str, layout: str, rounds: int, against: Path | None, once: bool) -> None:
    """Measure the whole job, callbacks included, by the part that works. Starting the parts does not count."""
    if once:
        click.echo(json.dumps(_run(items, processes, broker, Layout(layout))))
        return
    found: dict[Path, list[dict[str, float]]] = defaultdict(list)
    options = ("--items", str(items), "--processes", str(processes), "--broker", broker, "--layout", layout, "--once")
    for _ in range(rounds):
        for checkout in filter(None, (against, HERE)):
            # Each checkout runs its own copy of this program: names inside it differ between versions.
            command = [sys.executable, str(checkout / "benchmarks" / "parts.py"), *options]
            environment = os.environ | {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}
            said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
            found[checkout].append(json.loads(said.splitlines()[-1]))
    _report(found, against)


def _run(items: int, processes: int, broker: str, layout: Layout) -> dict[str, float]:
    with sink() as port, stand(broker, processes=processes, layout=layout) as ready:
        before = _spent(ready, layout)
        started = time.monotonic()
        url = f"http://127.0.0.1:{port}/hook"
        given = ({"key": f"k{number}", "text": f"short text number {number}"} for number in range(items))
        batch = ready.cluster.client.submit(given, ready.definition, callback_url=url)
        while batch.progress().final < items or _owes(ready):
            time.sleep(LOOK_SECONDS)
        taken = time.monotonic() - started
        after = _spent(ready, layout)
    return {part: (after[part] - before[part]) / items * 1e6 for part in before} | {RATE: items / taken}


def _spent(ready: Stand, layout: Layout) -> Mapping[str, float]:
    parts = _workers(ready, layout) | {"broker": [ready.broker], "PostgreSQL": [ready.postgres]}
    return {
        part: sum(_seconds(pid) for server in servers for pid in descendants(server.pid))
        for part, servers in parts.items()
    }


def _workers(ready: Stand, layout: Layout) -> dict[str, Sequence[Server]]:
    if layout is Layout.TOGETHER:
        return {"workers": ready.cluster.workers}
    control, *stages = ready.cluster.workers
    return {"stages": stages, "dispatch and callbacks": [control]}


def _seconds(pid: int) -> float:
    # Not from a module of ours: the other checkout may not have it. Fields 14 and 15 of proc(5), after the name.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _owes(ready: Stand) -> bool:
    with ready.cluster.database.read() as connection:
        query = text("SELECT 1 FROM deliveries WHERE state IN ('pending', 'sending') LIMIT 1")
        return connection.scalar(query) is not None


def _report(found: Mapping[Path, list[dict[str, float]]], against: Path | None) -> None:
    for row in found.values():
        for each in row:
            each["in all"] = sum(cost for part, cost in each.items() if part != RATE)
    parts = [part for part in found[HERE][0] if part not in ("in all", RATE)]
    for name in (*parts, "in all", RATE):
        here = [each[name] for each in found[HERE]]
        cells = f"{statistics.median(here):8,.0f}  ({min(here):,.0f} – {max(here):,.0f})"
        if against is not None:
            ratios = [there[name] / mine for there, mine in zip(found[against], here, strict=True)]
            there = statistics.median(each[name] for each in found[against])
            cells += f"   there {there:8,.0f}, {statistics.median(ratios):.2f} of here"
        click.echo(f"{name:<36}{cells}")


if __name__ == "__main__":
    main()
