"""`make demo`: run a file of support tickets through the real command line, with a receiver for their callbacks.

On a terminal, it then serves the web page until Ctrl-C. All output is in the folder demo/.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from receiver import Receiver

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo"
RESULTS = OUT / "results.jsonl"
SERVER_LOG = OUT / "serve.log"
TICKETS = "examples/support-tickets/tickets.jsonl"
DEFINITION = "examples/support-tickets/definition.toml"
DATABASE = "sqlite:///demo/pipeline.db"

#: Seconds to wait for the last callbacks after the command has finished.
CALLBACK_WAIT_SECONDS = 10.0
#: Where the page is, unless something else is there.
PAGE_PORT = 8787

NEXT = f"""
Try next:
  . {os.path.relpath(sys.prefix, ROOT)}/bin/activate
  export PIPELINE_DATABASE_URL={DATABASE}
  pipeline status last                         the batch and its labels
  pipeline show T-0001                         everything about one ticket
  pipeline results last -o demo/tickets.csv    the results as CSV
  edit a rule in {DEFINITION}, then run `make demo` again
  python examples/submit.py                    the same from Python"""


def main() -> int:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    tickets = read(ROOT / TICKETS)
    clean_folder()
    # One callback per item, and one for the batch.
    with run_receiver(secret, len(tickets) + 1) as receiver:
        code = run(command(receiver.server_port), settings(secret))
        if code == 0:
            receiver.is_complete.wait(CALLBACK_WAIT_SECONDS)
        results = read(RESULTS) if RESULTS.exists() else []
        report(tickets, results, receiver)
        is_complete = code == 0 and len(results) == len(tickets) and len(receiver.events) == len(tickets) + 1
        print(NEXT if is_complete else f"\nSomething is missing (exit code of the command: {code}).")
        if is_complete and sys.stdout.isatty():
            # The receiver goes on, so that callbacks can be sent again from the page.
            serve_page(settings(secret))
    return 0 if is_complete else 1


def clean_folder() -> None:
    OUT.mkdir(exist_ok=True)
    for old in (*OUT.glob("pipeline.db*"), RESULTS):
        old.unlink(missing_ok=True)


@contextmanager
def run_receiver(secret: str, expected: int) -> Iterator[Receiver]:
    """Run the receiver of examples/receiver.py on a free port."""
    with Receiver(0, secret, expected, show=show_refusals) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            receiver.shutdown()


def show_refusals(line: str) -> None:
    # One line per event would break the progress bar.
    if line.startswith(("refused", "failed")):
        print(line)


def settings(secret: str) -> dict[str, str]:
    """Return the environment of the command: these settings only, regardless of what is set outside."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return inherited | {
        "PIPELINE_DATABASE_URL": DATABASE,
        "PIPELINE_WEBHOOK_SECRET": secret,
        "PIPELINE_ALLOW_PRIVATE_CALLBACKS": "127.0.0.0/8",
    }


def command(port: int) -> list[str]:
    url = f"http://127.0.0.1:{port}"
    callbacks = ["--callback-url", f"{url}/items", "--batch-callback-url", f"{url}/batches"]
    return ["pipeline", "run", TICKETS, "-p", DEFINITION, *callbacks, "-o", "demo/results.jsonl"]


def run(arguments: list[str], environment: dict[str, str]) -> int:
    print(f"$ {shlex.join(arguments)}", flush=True)
    program = Path(sys.executable).with_name(arguments[0])
    return subprocess.run([program, *arguments[1:]], cwd=ROOT, env=environment, check=False).returncode


def serve_page(environment: dict[str, str]) -> None:
    """Serve the web page on the database of the demo until Ctrl-C."""
    program = Path(sys.executable).with_name("pipeline")
    arguments = [program, "serve", "--port", str(free_port())]
    with (
        SERVER_LOG.open("w") as log,
        subprocess.Popen(arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        assert server.stdout is not None
        try:
            url = server.stdout.readline().strip()
            if not url:
                print(f"\nThe page could not be served; {SERVER_LOG.relative_to(ROOT)} says why.")
                return
            print(f"\nSee it all in a browser: {url}   (Ctrl-C ends this)", flush=True)
            server.wait()
        except KeyboardInterrupt:
            # The terminal sent it to the server, too, which stops by itself.
            print()
            server.wait()


def free_port() -> int:
    """Return the usual port, or 0 if it is taken: any other."""
    with socket.socket() as probe:
        return PAGE_PORT if probe.connect_ex(("127.0.0.1", PAGE_PORT)) else 0


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def report(tickets: list[dict[str, Any]], results: list[dict[str, Any]], receiver: Receiver) -> None:
    expected = {ticket["ticket_id"]: ticket["expected"] for ticket in tickets}
    correct = sum(expected.get(result["key"]) == result["label"] for result in results)
    print(f"\nCallbacks   {len(receiver.events)} of {receiver.expected} arrived, signatures verified")
    print(f"Labels      {correct} of {len(expected)} match the label a person gave")
    print(f"Results     {RESULTS.relative_to(ROOT)}, {len(results)} lines")
    for result in results[:1]:
        print("The first result:\n" + json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
