"""The list of batches."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.batches import batch_view
from pipeline.delivery.alerts.views import page_alerts
from pipeline.domain.api_key import Scope
from pipeline.domain.batch import BatchState
from pipeline.domain.filters import BatchFilter
from pipeline.http_api.page.filters import choice_filter, chosen, is_filtered, older_link, text_filter
from pipeline.http_api.page.visit import ROWS, Visit

#: Alerts that are shown above the batches.
_ALERTS = 20


async def batches(visit: Visit) -> Response:
    """List batches, newest first."""
    visit.check(Scope.READ)
    state = choice_filter(visit.query, "state", "State", BatchState)
    definition = text_filter(visit.query, "definition", "Definition")
    name = text_filter(visit.query, "batch", "Batch")
    fields = [state, definition, name]
    found, position = await visit.quick(
        batch_view.list_batches,
        visit.context,
        BatchFilter(
            tenant=visit.caller.sees,
            state=chosen(BatchState, state),
            definition=definition.value or None,
            prefix=name.value or None,
        ),
        before=visit.after_id,
        limit=ROWS,
    )
    tenant = None if visit.caller.key_id is None else visit.caller.sees
    firing = await visit.quick(page_alerts, visit.context, _ALERTS, None, with_resolved=False, tenant=tenant)
    is_newest = not is_filtered(fields) and visit.after_id is None
    return visit.show(
        "batches.html",
        batches=[each.progress for each in found],
        alerts=firing,
        fields=fields,
        is_filtered=is_filtered(fields),
        is_newest=is_newest,
        older=older_link(fields, position),
    )
