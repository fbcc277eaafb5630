"""The long form: `python -m tests.faults --minutes 20 --seed 1 --on redis`. Exit code 1: an invariant was violated."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults import sites
from tests.faults.ordeal import Violated
from tests.faults.rounds import Rounds
from tests.faults.site import EMBEDDED, NAMES, REDIS, Site
from tests.faults.streams import STREAMS, StreamRounds
from tests.support.servers.postgres import Postgres
from tests.support.servers.rabbitmq import RabbitMQ
from tests.support.servers.redis import Redis
from tests.support.servers.server import NotAvailable

#: Repeated kills from outside must not look like the doing of an item.
MAX_CRASHES = 10


def main(words: Sequence[str] | None = None) -> int:
    """Run the long form at one site, or at each; return the exit code."""
    options = _options().parse_args(words)
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        del os.environ[name]
    logging.disable(logging.WARNING)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    return max(_run(name, seed, options.minutes) for name in options.on or (*NAMES, STREAMS))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Strike sites with faults at random.")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long at each site (default: %(default)g)")
    parser.add_argument("--seed", type=int, help="of the lots that are drawn (default: random; it is printed)")
    parser.add_argument(
        "--on", action="append", choices=(*NAMES, STREAMS), help="a site; may be repeated (default: each)"
    )
    return parser


def _run(name: str, seed: int, minutes: float) -> int:
    folder = Path(tempfile.mkdtemp(prefix=f"pipeline-faults-{name}-"))
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{name} {time.monotonic() - began:6.1f} s  {text}", flush=True)

    tell(f"seed {seed}, {minutes:g} minutes")
    with ExitStack() as stack:
        try:
            rounds = _rounds(name, folder, stack, random.Random(f"{seed} {name}"), tell)
        except NotAvailable as error:
            tell(f"left out: {error}")
            shutil.rmtree(folder)
            return 0
        try:
            rounds.run_until(time.monotonic() + minutes * 60)
        except Violated as violated:
            tell(f"VIOLATED with seed {seed} in round {rounds.number}:\n{violated}")
            return 1
        finally:
            tell(rounds.summary())
    shutil.rmtree(folder)
    return 0


def _rounds(
    name: str, folder: Path, stack: ExitStack, lots: random.Random, tell: Callable[[str], None]
) -> Rounds | StreamRounds:
    if name == STREAMS:
        return StreamRounds(folder, stack, lots)
    return Rounds(_open(name, folder, stack), lots, tell)


def _open(name: str, folder: Path, stack: ExitStack) -> Site:
    if name == EMBEDDED:
        return stack.enter_context(sites.embedded(folder, max_crashes=MAX_CRASHES))
    postgres = stack.enter_context(Postgres())
    broker: Redis | RabbitMQ = Redis() if name == REDIS else RabbitMQ()
    stack.enter_context(broker)
    return stack.enter_context(sites.distributed(folder, postgres, broker, max_crashes=MAX_CRASHES))


if __name__ == "__main__":
    sys.exit(main())
