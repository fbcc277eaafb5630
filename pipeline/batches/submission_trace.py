"""The span of a submission, and what is stored of it for the spans of its items."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from pipeline.context import Context
from pipeline.telemetry import tracing
from pipeline.telemetry.spans import FinishedSpan, SpanRole
from pipeline.telemetry.trace_ids import batch_context, sample_number
from pipeline.telemetry.traceparent import TraceContext

if TYPE_CHECKING:
    from pipeline.batches.submission import Submission, Submitted

#: Batches of up to so many items are one trace with their items. A trace of more could not be shown.
SMALL = 10


class SubmissionTrace(NamedTuple):
    """The trace of a submission.

    Args:
        stored: what the items of the batch belong to, if it is sampled, or are linked to.
        span: the span of the submission itself; None: it has none.
        parent_id: the caller's span.
    """

    stored: TraceContext | None
    span: TraceContext | None = None
    parent_id: int | None = None


def trace_of(context: Context, submission: Submission, public_id: str, total: int | None) -> SubmissionTrace:
    """Return the trace of a submission.

    Args:
        total: number of items; None: not known yet, but more than a few.
    """
    caller, is_small = submission.caller, total is not None and total <= SMALL
    if caller is not None and not (submission.is_traced and caller.is_sampled):
        return SubmissionTrace(caller._replace(is_sampled=caller.is_sampled and is_small))
    if not submission.is_traced:
        return SubmissionTrace(None)
    own = batch_context(public_id, is_sampled=is_small)
    if caller is not None:
        span = own._replace(trace_id=caller.trace_id)
        return SubmissionTrace(span, span, caller.span_id)
    if is_small and sample_number(public_id) >= context.settings.trace_items:
        return SubmissionTrace(None)
    return SubmissionTrace(own, own)


def send_submit_span(context: Context, submission: Submission, submitted: Submitted, started_at: datetime) -> None:
    """Send the span of a submission that has just stored a batch, if it has one."""
    trace = trace_of(context, submission, submitted.batch_id, submitted.total)
    if trace.span is None:
        return
    attributes: dict[str, str | int] = {
        "pipeline.batch.id": submitted.batch_id,
        "pipeline.batch.items": submitted.total,
        "pipeline.definition": submission.definition.name,
    }
    tracing.put(
        [
            FinishedSpan(
                f"submit {submission.definition.name}",
                trace.span.trace_id,
                trace.span.span_id,
                trace.parent_id,
                started_at,
                context.now(),
                role=SpanRole.PRODUCER,
                attributes=attributes,
            )
        ]
    )
