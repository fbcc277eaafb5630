"""The long form: `python -m tests.faults.gateway --rounds 50 --seed 1 --on sqlite`. Exit code 1: a violation."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults.killed_gateway import KilledGateway
from tests.faults.ordeal import Violated
from tests.support.servers.postgres import Postgres


def main(words: Sequence[str] | None = None) -> int:
    """Kill a server once in each round; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.gateway", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="batches, and kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the moments (default: random; it is printed)")
    parser.add_argument("--on", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--what", choices=("batches", "uploads"), default="batches")
    options = parser.parse_args(words)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{options.what} on {options.on} {time.monotonic() - began:6.1f} s  {text}", flush=True)

    tell(f"seed {seed}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipeline-gateway-")))
        url = f"sqlite:///{folder / 'pipeline.db'}"
        if options.on == "postgresql":
            url = stack.enter_context(Postgres()).database()
        gateway = KilledGateway(folder, url, stack, random.Random(seed), tell)
        try:
            gateway.run(options.rounds, options.what)
        except Violated as violated:
            tell(f"VIOLATED with seed {seed} in round {gateway.number}:\n{violated}")
            return 1
    tell(f"{options.rounds} rounds held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
