"""`pipeline results` against a server."""

from __future__ import annotations

from pipeline.cli.error_report import INTERRUPTED
from pipeline.cli.remote.session import open_server, refuse_option
from pipeline.cli.run.result_output import make_output
from pipeline.cli.run.stop_signals import Stopped, StopSignals
from pipeline.cli.show.output import Messages, pluralize
from pipeline.client.remote.result_pages import result_pages


def results(
    batch: str,
    output: str,
    output_format: str | None,
    columns: str | None,
    flat: bool,
    with_payload: bool,
    follow: bool,
    after: int,
    state: str | None,
) -> int:
    """Write the results of a batch."""
    target = make_output(output, output_format, columns, flat=flat, with_payload=with_payload, format_option="--format")
    if target.layout.needs_payload:
        raise refuse_option("--with-payload")
    written, seq = 0, after
    with open_server() as (server, client), StopSignals() as stop:
        found = client.batch(batch)
        try:
            with target.open() as out:
                for page in result_pages(server, found.id, follow=follow, after=after):
                    for result in page.data:
                        if state in (None, result["state"]):
                            out.write(result)
                            written += 1
                    out.flush()
                    seq = page.next
                    stop.check()
        except Stopped:
            Messages().warn(f"stopped after seq {seq}; `pipeline results {found.id} --after {seq}` continues")
            return INTERRUPTED
    if not target.is_stdout:
        Messages().info(f"wrote {pluralize(written, 'result')} to {output}")
    return 0
