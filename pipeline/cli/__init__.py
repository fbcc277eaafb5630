"""The command line: each command parses its arguments, calls the library, and prints."""

from __future__ import annotations

import click

from pipeline.cli.program import Program
from pipeline.cli.show.version import print_version

#: Every command and its one-line summary, by the section of `pipeline --help`.
COMMANDS = {
    "Processing": {
        "peek": "Show how INPUT is read.",
        "run": "Process INPUT and wait until it is finished.",
        "submit": "Store INPUT as a batch and print the batch id.",
        "consume": "Turn the messages of SOURCE into items.",
        "worker": "Run a worker that processes batches.",
        "serve": "Serve the HTTP API and a web page.",
    },
    "Monitoring": {
        "status": "List recent batches, or show one in detail.",
        "watch": "Follow BATCH until it is complete.",
        "results": "Write the results of BATCH.",
        "show": "Show everything about one item.",
        "alerts": "See what is wrong, and test where it is reported.",
        "audit": "Prove that nothing of BATCH was lost or counted twice.",
        "metrics": "Serve metrics for Prometheus and for autoscalers.",
        "flower": "Show tasks, workers and queues in a browser.",
    },
    "Management": {
        "pause": "Pause BATCH.",
        "resume": "Resume a paused BATCH.",
        "cancel": "Cancel the remaining items of BATCH.",
        "dead": "Manage dead items.",
        "guards": "Manage the guards of a batch against failures.",
        "deliveries": "Manage callback deliveries.",
        "endpoints": "Manage callback endpoints.",
        "exports": "Manage exports of results.",
        "intakes": "Manage intakes: what `pipeline consume` reads.",
        "definitions": "Manage the definitions that `pipeline serve` runs by name.",
        "keys": "Manage the API keys of `pipeline serve`.",
    },
    "Models": {
        "train": "Train a text classifier from labelled data.",
        "evaluate": "Evaluate a definition's classifier on labelled data.",
    },
    "Setup and diagnostics": {
        "doctor": "Check the installation and suggest fixes.",
        "db": "Manage the database.",
        "secret": "Generate a secret for signing callbacks.",
        "listen": "Receive and verify webhooks on this machine.",
    },
}


@click.group(cls=Program, sections=COMMANDS)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Print the version."
)
@click.option("--debug", is_flag=True, help="Print debug logs and tracebacks.")
def main(**_: bool) -> None:
    """Classify and enrich items in bulk. Each result is available as soon as its item is finished.

    Data goes to standard output, messages to standard error. Settings come from PIPELINE_* environment variables.
    BATCH is a batch id, a unique prefix of one, or `last`.

    \b
    Exit codes:
        0  success
        1  dead or cancelled items, undelivered callbacks, or a failed check
        2  invalid usage or input
        3  a service is unreachable
       70  internal error, a bug in pipeline
      130  interrupted by Ctrl-C or SIGTERM

    \b
    Examples:
      pipeline run tickets.jsonl -p definition.toml -o results.jsonl
      pipeline status last
      pipeline doctor
    """
