"""Follow many batches over one WebSocket."""

from __future__ import annotations

from starlette.responses import Response

from pipeline.domain.api_key import Scope
from pipeline.http_api.call import ApiCall
from pipeline.http_api.operation import Operation, Socket
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.socket import converse

SUBPROTOCOL = "pipeline.v1"


async def refuse_plain(call: ApiCall) -> Response:
    """Refuse a request that does not ask for a WebSocket."""
    raise Problem(
        "upgrade_required",
        f"this is a WebSocket with the subprotocol {SUBPROTOCOL}; /v1/batches/…/events needs none",
        headers={"Upgrade": "websocket", "Connection": "Upgrade"},
    )


OPERATIONS: tuple[Operation, ...] = (
    Socket(
        "events.socket", "GET", "/v1/ws", Scope.READ, "Follow the event logs of many batches over one WebSocket.",
        refuse_plain, status=101, is_stream=True, takes_token=True, converse=converse, subprotocol=SUBPROTOCOL,
        problems=("bad_subprotocol", "upgrade_required"),
    ),
)  # fmt: skip
