"""Pages of results, and items, as a server has them: JSON values for callers that write them on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.client.remote.server import Server, segment

#: Seconds that the server holds a request back until there is something to tell.
LONG_POLL = 20
#: Results of one request.
_PAGE = 1_000


class RawPage(NamedTuple):
    """Results as JSON has them, and the `seq` to continue after."""

    data: list[dict[str, Any]]
    next: int


def result_pages(
    server: Server, batch_id: str, *, follow: bool, after: int, wait: int = LONG_POLL
) -> Iterator[RawPage]:
    """Yield pages of a batch's results.

    Args:
        follow: go on until the batch is complete.
        wait: longest time in seconds that the server holds a page back while following.
    """
    path = f"/v1/batches/{segment(batch_id)}/results"
    while True:
        found = server.get(path, after=after, limit=_PAGE, wait=wait if follow else 0)
        yield RawPage(found["data"], found["next"])
        after = found["next"]
        if not found["has_more"] and (found["is_complete"] or not follow):
            return


def last_of_replayed(server: Server, batch_id: str) -> dict[str, int]:
    """Return the `seq` of the last result of each item that has several, by the item's id: it was replayed."""
    seen: set[str] = set()
    last: dict[str, int] = {}
    for page in result_pages(server, batch_id, follow=False, after=0):
        for result in page.data:
            name = result["item_id"]
            if name in seen:
                last[name] = result["seq"]
            seen.add(name)
    return last


def item_details(server: Server, item_id: str, *, with_payload: bool = False) -> dict[str, Any]:
    """Return everything about an item: its answers, failed attempts and callbacks.

    Raises:
        NotFound: there is none.
        AccessDenied: the API key may not see payloads.
    """
    found: dict[str, Any] = server.get(f"/v1/items/{segment(item_id)}", payload=with_payload or None)
    return found
