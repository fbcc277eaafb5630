"""Operations on alerts: what is wrong with the installation. A tenant sees those about its own batches."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field
from starlette.responses import Response

from pipeline.database.row import Row
from pipeline.delivery.alerts import views
from pipeline.domain.api_key import Scope
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.pages import PageQuery, page, read_cursor
from pipeline.http_api.parameters import AnswerModel


class AlertQuery(PageQuery):
    """Which alerts."""

    all: bool = Field(False, description="Also those that are over.")


class AlertAnswer(AnswerModel):
    """An alert."""

    alert_id: str
    name: str = Field(description="The rule or the guard.")
    key: str = Field(description="What it is about; at most one alert of a key fires.")
    severity: str
    state: str
    summary: str
    batch_id: str | None
    definition: str | None
    endpoint: str | None
    guard: str | None
    stage: str | None
    value: dict[str, object] = Field(description="The evidence.")
    errors: list[object]
    items: list[object]
    opened_at: datetime
    resolved_at: datetime | None
    reason: str | None
    resolved_by: str | None
    url: str | None


class AlertPage(AnswerModel):
    """A page of alerts, newest first."""

    data: list[AlertAnswer]
    next: str | None = Field(description="Send it as `after` to continue; null: there are no more.")
    has_more: bool


class AlertChannelAnswer(AnswerModel):
    """What became of an alert at a channel."""

    channel: str
    event: str
    state: str
    attempts: int
    status: int | None
    error: str | None
    finished_at: datetime | None


class AlertDetails(AlertAnswer):
    """An alert with what became of it at each channel."""

    channels: list[AlertChannelAnswer]


async def every(call: ApiCall) -> Response:
    """Return a page of alerts."""
    query = call.parameters(AlertQuery)
    after = read_cursor(query.after)
    before = int(after) if after is not None and after.isdigit() else None
    found = await call.quick(
        views.page_alerts, call.context, query.limit + 1, before, with_resolved=query.all, tenant=_tenant(call)
    )
    return answer(page(found, query.limit, _order, views.alert_view))


async def show(call: ApiCall) -> Response:
    """Return an alert."""
    return answer(await call.quick(views.show_alert, call.context, call.path("alert"), _tenant(call)))


async def resolve(call: ApiCall) -> Response:
    """Resolve an alert and return it."""
    return answer(await call.quick(views.resolve_alert, call.context, call.path("alert"), _tenant(call)))


def _tenant(call: ApiCall) -> str | None:
    """Return the tenant whose alerts the caller sees; None: all. Without keys, whoever connects is the operator."""
    return None if call.caller.key_id is None else call.caller.sees


def _order(row: Row) -> int:
    return int(row["id"])


OPERATIONS = (
    Operation(
        "alerts.list", "GET", "/v1/alerts", Scope.READ,
        "List the alerts that fire, or all; a tenant sees those about its own batches.", every,
        query=AlertQuery, answer=AlertPage, problems=("bad_cursor",),
    ),
    Operation(
        "alerts.show", "GET", "/v1/alerts/{alert}", Scope.READ,
        "Return an alert, and what became of it at each channel.", show,
        answer=AlertDetails, problems=("not_found",),
    ),
    Operation(
        "alerts.resolve", "POST", "/v1/alerts/{alert}/resolve", Scope.OPERATE,
        "Resolve an alert; if what it reports is not over, it fires again.", resolve,
        answer=AlertAnswer, problems=("not_found", "conflict"),
    ),
)  # fmt: skip
