"""Operations on batches: list, show, pause, resume, cancel."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from starlette.responses import Response

from pipeline.batches import progress
from pipeline.domain.api_key import Scope
from pipeline.domain.batch import Progress
from pipeline.http_api.call import ApiCall, answer
from pipeline.http_api.operation import Operation
from pipeline.http_api.parameters import AnswerModel

_COUNTS = ("total", "waiting", "in_flight", "running", "succeeded", "dead", "cancelled")


class BatchAnswer(AnswerModel):
    """How far along a batch is."""

    batch_id: str
    definition: str
    state: str
    total: int
    waiting: int
    in_flight: int
    running: int
    succeeded: int
    dead: int
    cancelled: int
    last_seq: int
    created_at: datetime
    completed_at: datetime | None


def batch_json(found: Progress) -> dict[str, Any]:
    """Return a batch as the API shows it everywhere."""
    return {
        "batch_id": found.batch_id,
        "definition": found.definition,
        "state": found.state.value,
        **{name: getattr(found, name) for name in _COUNTS},
        "last_seq": found.last_seq,
        "created_at": found.created_at,
        "completed_at": found.completed_at,
    }


async def get(call: ApiCall) -> Response:
    """Return one batch."""
    row = await call.batch()
    found = await call.quick(progress.progress, call.context, row["public_id"])
    return answer(batch_json(found))


OPERATIONS = (
    Operation(
        "batches.get", "GET", "/v1/batches/{batch}", Scope.READ, "Return how far along a batch is.", get,
        answer=BatchAnswer, problems=("not_found",),
    ),
)  # fmt: skip
