"""Dead letters: what items died of, and the way back for all items of one cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from pipeline.batches.replays import dead_items
from pipeline.batches.replays.dead_items import CauseGroup, DeadFilter
from pipeline.domain.api_key import Scope
from pipeline.domain.ids import item_id
from pipeline.domain.item import Stage
from pipeline.http_api.page.filters import Filter, choice_filter, is_filtered, older_link, text_filter
from pipeline.http_api.page.text import counted, cut
from pipeline.http_api.page.visit import ROWS, Visit

#: Causes that are shown, of those that are counted.
_CAUSES = 50
_CAUSE_LENGTH = 60
#: What a replay of many may be limited to.
_REPLAYED_BY = ("stage", "type", "label", "cause")


async def dead(visit: Visit) -> Response:
    """Show what dead items died of, and the items themselves."""
    visit.check(Scope.READ)
    batch = text_filter(visit.query, "batch", "Batch")
    batch_id = (await visit.batch(batch.value))["id"] if batch.value else None
    fields = [
        text_filter(visit.query, "definition", "Definition"),
        choice_filter(visit.query, "stage", "Stage", Stage),
        text_filter(visit.query, "type", "Type"),
        text_filter(visit.query, "label", "Label"),
    ]
    cause = visit.query.get("cause", "")
    wanted = _filter({each.name: each.value for each in fields})
    scope: dict[str, Any] = {"batch_id": batch_id, "tenant": visit.caller.sees}
    groups, is_partial = await visit.bulk(dead_items.causes, visit.context, wanted, **scope)
    page = await visit.bulk(
        dead_items.dead_page,
        visit.context,
        _filter({each.name: each.value for each in fields} | {"cause": cause}),
        **scope,
        before=visit.after_id,
        limit=ROWS,
    )
    fields = [batch, *fields, Filter("cause", "Cause", cause, _cause_options(groups, cause))]
    return visit.show(
        "dead.html",
        batch=batch.value,
        fields=fields,
        is_filtered=is_filtered(fields),
        groups=groups[:_CAUSES],
        hidden_groups=max(0, len(groups) - _CAUSES),
        is_partial=is_partial,
        total=sum(group.count for group in groups),
        rows=[{**row, "item_id": item_id(row["public_id"], row["position"])} for row in page.rows],
        chosen={field.name: field.value for field in fields if field.value},
        older=older_link(fields, page.position),
        may_operate=visit.may(Scope.OPERATE),
    )


async def confirm_replay(visit: Visit) -> Response:
    """Ask before dead items of a batch run again, with their number."""
    visit.check(Scope.OPERATE)
    batch = await visit.batch(visit.path("batch"))
    public_id, given = batch["public_id"], _chosen(visit.query)
    found = await visit.bulk(dead_items.replay_matching, visit.context, batch, _filter(given), dry_run=True)
    number = counted(found.matched, "dead item")
    return visit.show(
        "confirm.html",
        question=f"Replay {number}?",
        consequence=f"Of batch {public_id}{_described(given)}. They go on at the stage where they failed, with fresh "
        "attempts.",
        path=f"/ui/batches/{public_id}/replay-dead",
        fields=list(given.items()),
        label=f"Replay {counted(found.matched, 'item')}" if found.matched else "",
        back="/ui/dead?" + urlencode({"batch": public_id, **given}),
    )


async def replay_dead(visit: Visit) -> Response:
    """Run dead items of a batch again."""
    visit.check(Scope.OPERATE)
    batch = await visit.batch(visit.path("batch"))
    wanted = _filter(_chosen(await visit.form()))
    found = await visit.bulk(dead_items.replay_matching, visit.context, batch, wanted)
    visit.gateway.work.wake()
    verb = "runs" if found.replayed == 1 else "run"
    return visit.go(f"/ui/batches/{batch['public_id']}", f"{counted(found.replayed, 'item')} {verb} again.")


def _chosen(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given[name] for name in _REPLAYED_BY if given.get(name)}


def _filter(given: Mapping[str, str]) -> DeadFilter:
    found = {name: value or None for name, value in given.items()}
    return DeadFilter(
        stage=found.get("stage"),
        type=found.get("type"),
        cause=found.get("cause"),
        label=found.get("label"),
        definition=found.get("definition"),
    )


def _described(given: Mapping[str, str]) -> str:
    return "".join(f", {name} {cut(value, _CAUSE_LENGTH)}" for name, value in given.items())


def _cause_options(groups: list[CauseGroup], chosen: str) -> list[tuple[str, str]]:
    found = [
        (group.cause.id, cut(f"{group.count:,} · {group.cause.stage} · {group.cause.message}", _CAUSE_LENGTH))
        for group in groups[:_CAUSES]
    ]
    return found if not chosen or chosen in dict(found) else [*found, (chosen, chosen)]
