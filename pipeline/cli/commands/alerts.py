"""`pipeline alerts`."""

from __future__ import annotations

import click

from pipeline.bootstrap import make_alerts
from pipeline.cli import options
from pipeline.cli.run.session import open_context
from pipeline.cli.show.output import Messages, print_fields, print_json
from pipeline.cli.show.table import print_table
from pipeline.delivery.alerts.try_channels import try_channels
from pipeline.delivery.alerts.views import list_alerts, resolve_alert, show_alert

_alert = click.argument("alert", metavar="ALERT")
#: Characters of an answer that are shown.
_SHOWN = 200


@click.group()
def alerts() -> None:
    """See what is wrong, and test where it is reported.

    ALERT is the id of an alert, or its beginning.

    \b
    Examples:
      pipeline alerts list
      pipeline alerts test
    """


@alerts.command("list")
@click.option("--all", "with_resolved", is_flag=True, help="Also those that are over.")
@options.limit(50)
@options.as_json
def list_(with_resolved: bool, limit: int, as_json: bool) -> None:
    """List alerts that fire, newest first.

    \b
    Examples:
      pipeline alerts list
      pipeline alerts list --all --json
    """
    with open_context() as context:
        found = list_alerts(context, limit, with_resolved=with_resolved)
    if as_json:
        print_json(found)
        return
    names = ("alert_id", "severity", "state", "opened_at", "resolved_at", "name", "summary")
    headers = ("alert", "severity", "state", "since", "until", "rule", "summary")
    empty = "no alerts" if with_resolved else "nothing fires"
    print_table(headers, [tuple(each[name] for name in names) for each in found], below=("summary",), empty=empty)


@alerts.command()
@_alert
@options.as_json
def show(alert: str, as_json: bool) -> None:
    """Show an alert, and what became of it at each channel.

    The evidence is in `value`.

    \b
    Examples:
      pipeline alerts show alr_5f0c21
      pipeline alerts show alr_5f0c21 --json
    """
    with open_context() as context:
        found = show_alert(context, alert)
    if as_json:
        print_json(found)
        return
    channels = found.pop("channels")
    print_fields({name: value for name, value in found.items() if value not in (None, [], {})})
    if channels:
        names = ("channel", "event", "state", "attempts", "status", "error", "finished_at")
        table = [tuple(each[name] for name in names) for each in channels]
        print_table((*names[:-1], "at"), table, title="channels")


@alerts.command()
@_alert
def resolve(alert: str) -> None:
    """Resolve an alert by hand.

    Alerts end by themselves when what they report is over. If it is not, the alert fires again.

    \b
    Examples:
      pipeline alerts resolve alr_5f0c21
    """
    with open_context() as context:
        found = resolve_alert(context, alert)
    Messages().info(f"alert {found['alert_id']} is resolved")


@alerts.command()
@click.argument("channel", metavar="[CHANNEL]", required=False)
@options.as_json
def test(channel: str | None, as_json: bool) -> int:
    """Send an example to a channel, or to all.

    It says that an alert fires, and then that it is over. Nothing is stored.
    Exit code 1 if a channel did not take it.

    \b
    Examples:
      pipeline alerts test
      pipeline alerts test ops
    """
    with open_context() as context:
        tried = try_channels(context, make_alerts(context.settings), channel)
    rows = [
        (
            each.channel,
            each.event_type.value,
            "ok" if each.answer.is_success else "failed",
            each.answer.status,
            each.answer.error,
            (each.answer.text or "")[:_SHOWN],
        )
        for each in tried
    ]
    headers = ("channel", "event", "result", "status", "error", "answer")
    if as_json:
        print_json([dict(zip(headers, row, strict=True)) for row in rows])
    else:
        print_table(headers, rows, below=("answer",))
    return 0 if all(each.answer.is_success for each in tried) else 1
