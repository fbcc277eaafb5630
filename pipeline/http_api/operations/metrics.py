"""The operation that shows metrics."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.domain.api_key import Scope
from pipeline.domain.tenant import ALL_TENANTS
from pipeline.http_api.call import ApiCall
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.operation import Operation
from pipeline.http_api.problems import Problem

OPENMETRICS, TEXT = "application/openmetrics-text", "text/plain"


async def metrics(call: ApiCall) -> Response:
    """Return what is read from SQL, in the formats of Prometheus."""
    caller = call.caller
    if caller.key_id is not None and caller.tenant != ALL_TENANTS:
        raise Problem(
            "scope_missing",
            f"key {caller.key_id} is of tenant {caller.tenant}; metrics are of all tenants and need a key of tenant "
            f"{ALL_TENANTS}",
        )
    media_type, body = await call.quick(_page, call.gateway, call.request.headers.get("accept", ""))
    return Response(body, media_type=media_type)


def _page(gateway: Gateway, accept: str) -> tuple[str, bytes]:
    # Imported here: it need not be installed.
    from pipeline.monitoring.page import sql_page

    return sql_page(gateway.collector, accept)


OPERATIONS = (
    Operation(
        "server.metrics", "GET", "/metrics", Scope.READ, "Return metrics of all tenants, in the formats of Prometheus.",
        metrics, answers=(OPENMETRICS, TEXT),
    ),
)  # fmt: skip
