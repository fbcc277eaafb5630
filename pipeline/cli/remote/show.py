"""`pipeline show` against a server."""

from __future__ import annotations

from pipeline.cli.remote.session import open_server
from pipeline.cli.show.batch import progress_json
from pipeline.cli.show.output import print_fields, print_json
from pipeline.client.remote.result_pages import item_details, item_id_of_key
from pipeline.domain.ids import split_item_id, split_task_id


def show(name: str, batch: str | None, payload: bool, as_json: bool) -> None:
    """Show one item, or a batch."""
    with open_server() as (server, client):
        task = split_task_id(name)
        item = task.item_id if task else name
        if split_item_id(item) is None or batch is not None:
            found = item_id_of_key(server, client.batch(batch or "last").id, name)
            if found is None:
                shown = progress_json(client.batch(name).progress())
                print_json(shown) if as_json else print_fields(shown)
                return
            item = found
        details = item_details(server, item, with_payload=payload)
    print_json(details) if as_json else print_fields(details)
