"""The command line: each command parses, calls the library, and prints."""

from __future__ import annotations

import click

from pipeline.cli.program import Entry, Program
from pipeline.cli.show.version import print_version

#: Every command by section, in the order of `pipeline --help`. A command's module is imported when it is called.
COMMANDS = {
    "Work": {
        "run": Entry("pipeline.cli.commands.run:run", "Process INPUT here, to the end."),
        "submit": Entry("pipeline.cli.commands.submit:submit", "Store INPUT as a batch and print its id."),
        "worker": Entry("pipeline.cli.commands.worker:worker", "Work on batches, beside other workers."),
    },
    "Look": {
        "status": Entry("pipeline.cli.commands.status:status", "List batches, or show one in detail."),
        "watch": Entry("pipeline.cli.commands.watch:watch", "Follow a batch until it is complete."),
        "results": Entry("pipeline.cli.commands.results:results", "Write the results of a batch."),
        "show": Entry("pipeline.cli.commands.show:show", "Show one item from all sides."),
        "flower": Entry("pipeline.cli.commands.flower:flower", "Show tasks, workers and queues in a browser."),
    },
    "Steer": {
        "pause": Entry("pipeline.cli.commands.control:pause", "Release no more items of a batch."),
        "resume": Entry("pipeline.cli.commands.control:resume", "Release items of a paused batch again."),
        "cancel": Entry("pipeline.cli.commands.control:cancel", "Cancel what a batch has not begun."),
        "dead": Entry("pipeline.cli.commands.dead:dead", "Items that were given up: list, show, replay."),
        "deliveries": Entry(
            "pipeline.cli.commands.deliveries:deliveries", "Callbacks that are owed: list, show, replay."
        ),
        "endpoints": Entry(
            "pipeline.cli.commands.endpoints:endpoints", "What receives callbacks: list, show, set, test."
        ),
    },
    "Models": {
        "train": Entry("pipeline.cli.commands.train:train", "Train a classifier of texts from labelled data."),
        "evaluate": Entry(
            "pipeline.cli.commands.evaluate:evaluate", "Measure a definition's classifier on labelled data."
        ),
    },
    "Set up": {
        "doctor": Entry("pipeline.cli.commands.doctor:doctor", "Check the installation and say what to do."),
        "db": Entry("pipeline.cli.commands.db:db", "The database's version: current, upgrade."),
        "secret": Entry("pipeline.cli.commands.secret:secret", "Print a fresh secret that signs callbacks."),
        "listen": Entry("pipeline.cli.commands.listen:listen", "Receive webhooks on this machine, to try things out."),
    },
}


@click.group(cls=Program, sections=COMMANDS)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Show the version."
)
@click.option("--debug", is_flag=True, help="Show the traceback of unexpected errors, and more of what happens.")
def main(**_: bool) -> None:
    """Bulk classification and enrichment: every item's result leaves the moment that item is done.

    Data goes to standard output, everything else to standard error. Settings are read from PIPELINE_* variables.
    BATCH is an id, the beginning of one, or `last`.

    \b
    Exit codes:
      0  all good
      1  items are dead or cancelled, callbacks are not delivered, or a check failed
      2  wrong usage or bad input
      3  a service is unreachable
      70  a fault of pipeline itself
      130  stopped by Ctrl-C or SIGTERM

    \b
    Examples:
      pipeline run tickets.jsonl -p definition.toml -o results.jsonl
      pipeline status last
      pipeline doctor
    """
