"""What an error of the library becomes in an answer."""

from __future__ import annotations

import copy

import pytest

from pipeline.batches.part_errors import PartsMissing
from pipeline.domain.payload import Rejection
from pipeline.errors import (
    BacklogFull,
    DatabaseFull,
    IdempotencyMismatch,
    InvalidInput,
    InvalidItems,
    NoItems,
    OutcomeUnknown,
    PipelineError,
    SubmissionInProgress,
    Unreachable,
)
from pipeline.http_api.problems import problem_of

KEY = IdempotencyMismatch("`pipeline run --batch b` continues it", "k", "b", ("weight", "body"))


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (NoItems("none"), 422, "no_items", None),
        (InvalidItems("bad", (Rejection(2, "no", ""),), 7), 422, "invalid_items", None),
        (KEY, 422, "idempotency_key_reused", None),
        (SubmissionInProgress("now"), 409, "idempotency_in_progress", "1"),
        (BacklogFull("full"), 429, "backlog_full", "30"),
        (PartsMissing("missing", (2,)), 409, "parts_missing", None),
        (OutcomeUnknown("lost", "b"), 503, "outcome_unknown", "2"),
        (DatabaseFull("full"), 507, "storage_full", None),
        (Unreachable("away"), 503, "database_unreachable", "2"),
        (PipelineError("a bug and its secret"), 500, "internal", None),
    ],
)
def test_an_error_has_a_status_and_a_code(
    error: PipelineError, status: int, code: str, retry_after: str | None
) -> None:
    problem = problem_of(error)
    response = problem.response("r")
    assert (response.status_code, problem.code, response.headers.get("retry-after")) == (status, code, retry_after)
    assert "secret" not in problem.detail


def test_members_say_what_the_text_says() -> None:
    assert problem_of(KEY).body("r") | {"batch_id": "b", "fields": ["weight", "body"]} == problem_of(KEY).body("r")
    assert "pipeline run" not in problem_of(KEY).detail
    assert problem_of(PartsMissing("x", (2, 4))).body("r")["missing"] == [2, 4]
    counted = problem_of(InvalidItems("bad", (Rejection(2, "no", ""),), 7)).body("r")
    assert (counted["error_count"], counted["errors"]) == (7, [{"line": 2, "detail": "no"}])
    assert problem_of(OutcomeUnknown("lost", "b")).body("r")["batch_id"] == "b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("looks like UTF-16 without a mark: --encoding utf-16-le", "charset=utf-16-le"),
        ("name its format with --format jsonl", "send it as application/x-ndjson"),
        ("if you know the right one, name it with --encoding", "name it by `charset=` in Content-Type"),
        ("--strict refuses this", "strict=true refuses this"),
    ],
)
def test_advice_is_in_words_of_the_api(text: str, said: str) -> None:
    detail = problem_of(InvalidInput(text)).detail
    assert said in detail
    assert "--" not in detail


@pytest.mark.parametrize("error", [KEY, OutcomeUnknown("lost", "b")])
def test_errors_can_be_copied(error: PipelineError) -> None:
    # As between processes: by `__reduce__`.
    again = copy.copy(error)
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
