"""A definition run on items without a database, a broker or a network of workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import orjson

from pipeline.batches.validate import ItemValidator, Rules
from pipeline.client.result import Result
from pipeline.connections.destinations import Destinations
from pipeline.database.row import Row
from pipeline.definitions import Definition, build_runner, find_definition, make_backoff
from pipeline.definitions.input_and_retry import input_mapping
from pipeline.domain import event
from pipeline.domain.ids import item_id
from pipeline.domain.inputs.input_mapping import text_of
from pipeline.domain.item import Classification, Item, ItemState, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, GiveUp, Outcome, decide_retry
from pipeline.domain.payload import MAX_PAYLOAD_BYTES, Rejection
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner

#: Batch id of the results.
BATCH_ID = "test"
#: Times an item is retried that was throttled. In production it is 1,000 times, with a wait before each.
THROTTLED_RETRIES = 10

# Callback URLs are checked, but nothing is sent.
_ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def run_definition(
    definition: str | Path | Definition, items: Iterable[Item | Mapping[str, Any]], *, key_field: str | None = None
) -> list[Result]:
    """Classify and enrich items here and now, without a database, and return their results in the order of the items.

    The items are checked, run and retried by the same code as in production, with timeouts, bundled calls and
    `[retry] max_attempts`. What differs: retries follow at once instead of after a backoff, an item that is throttled
    more than 10 times at a stage is dead, and nothing is sent to callback URLs.

    Args:
        definition: The name of a definition, the path of its file, or a `Definition`.
        items: Payloads, or `Item`s with your own keys.
        key_field: Payload field with your own id of the item; None: the definition's `[input] key`.

    Returns:
        A result for each item, dead ones too. The batch id is `test`, and `seq` counts the items.

    Raises:
        InvalidItems: An item was refused, or there is none.
        InvalidDefinition: The definition cannot be run.
        NotFound: There is no such definition.
    """
    chosen = definition if isinstance(definition, Definition) else find_definition(str(definition))
    passing = [_Passage(row) for row in _accepted(chosen, items, key_field)]
    with Executor() as executor:
        runners = [(stage, build_runner(chosen, stage, executor)) for stage in chosen.stages]
        for stage, runner in runners:
            _run_stage(chosen, stage, runner, [each for each in passing if each.error is None])
    return [each.result() for each in passing]


@dataclass(slots=True)
class _Passage:
    """One item on its way through the stages."""

    row: Row
    attempt: int = 0
    snoozes: int = 0
    attempts: int = 0
    classification: Classification | None = None
    enrichment: Mapping[str, Any] | None = None
    error: tuple[Stage, Failure] | None = None
    times: dict[str, datetime] = field(default_factory=dict)

    def work_item(self, text_fields: tuple[str, ...]) -> WorkItem:
        """Return what the stage gets for the next attempt."""
        payload = orjson.loads(self.row["payload"])
        classification = self.classification
        return WorkItem(
            item_id=item_id(BATCH_ID, self.row["position"]),
            batch_id=BATCH_ID,
            payload=payload,
            text=text_of(payload, text_fields),
            key=self.row["key"],
            attempt=self.attempt,
            label=None if classification is None else classification.label,
            confidence=None if classification is None else classification.confidence,
        )

    def begin(self) -> None:
        """Count an attempt."""
        self.attempt += 1
        self.attempts += 1
        self.times["started_at"] = datetime.now(UTC)

    def end(self, definition: Definition, stage: Stage, outcome: Outcome) -> bool:
        """Take the outcome of an attempt; return whether another attempt follows at this stage."""
        now = datetime.now(UTC)
        if isinstance(outcome, Failure):
            if self._is_retried(definition, outcome):
                return True
            self.error = stage, outcome
        elif isinstance(outcome, Classification):
            self.classification = outcome
            self.times["classified_at"] = now
        else:
            self.enrichment = outcome.values
        self.attempt = self.snoozes = 0
        self.times["finished_at"] = now
        return False

    def _is_retried(self, definition: Definition, failure: Failure) -> bool:
        if failure.kind is FailureKind.THROTTLED:
            self.snoozes += 1
            if self.snoozes > THROTTLED_RETRIES:
                return False
            self.attempt -= 1
            self.attempts -= 1
            return True
        retry = definition.retry
        decision = decide_retry(
            failure,
            attempt=self.attempt,
            snoozes=self.snoozes,
            max_attempts=retry.max_attempts,
            backoff=make_backoff(retry),
        )
        return not isinstance(decision, GiveUp)

    def result(self) -> Result:
        """Return what became of the item, by way of the bytes that a receiver would get."""
        state = ItemState.SUCCEEDED if self.error is None else ItemState.DEAD
        row = {
            **self.row,
            "state": state.value,
            "attempts": self.attempts,
            **_classified(self.classification),
            "enrichment": None if self.enrichment is None else _json(self.enrichment),
            **_failed(self.error),
            "queued_at": self.row["created_at"],
            "classified_at": None,
            **self.times,
        }
        data = event.item_data(BATCH_ID, self.row["position"], row)
        return Result.from_data(
            event.decode_data(event.encode_body(event.item_event_type(state), row["finished_at"], data))
        )


def _accepted(
    definition: Definition, items: Iterable[Item | Mapping[str, Any]], key_field: str | None
) -> Sequence[Row]:
    """Return a row for each item, checked as a submission is."""
    rules = Rules(
        text_fields=definition.input.text_fields,
        mapping=input_mapping(definition.input),
        accepts_empty_text=definition.input.empty == "accept",
        key_field=key_field or definition.input.key,
        callback_url_field=None,
        max_payload_bytes=MAX_PAYLOAD_BYTES,
        destinations=Destinations(allow_private=_ANYWHERE),
        has_secret=True,
    )
    validator = ItemValidator(rules, None, all_or_none=True)
    rows = list(validator.rows(items, lambda: datetime.now(UTC)))
    first: dict[str, int] = {}
    for row in rows:
        key = row["key"]
        if key is not None and first.setdefault(key, row["position"]) != row["position"]:
            reason = f"its key {key!r} is the key of item {first[key]} as well"
            validator.refuse(Rejection(row["line"], reason, row["payload"]))
    validator.raise_if_refused()
    if not rows:
        raise validator.error("there is no item to run")
    return rows


def _run_stage(definition: Definition, stage: Stage, runner: StageRunner, passing: Sequence[_Passage]) -> None:
    """Run a stage on items until each has passed it or is dead."""
    while passing:
        for each in passing:
            each.begin()
        items = [each.work_item(definition.input.text_fields) for each in passing]
        outcomes = _outcomes(runner, items)
        passing = [
            each
            for each, item in zip(passing, items, strict=True)
            if each.end(definition, stage, outcomes[item.item_id])
        ]


def _outcomes(runner: StageRunner, items: Sequence[WorkItem]) -> dict[str, Outcome]:
    emitted: SimpleQueue[list[tuple[WorkItem, Outcome]]] = SimpleQueue()
    runner.run(items, emitted.put)
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < len(items):
        outcomes |= {item.item_id: outcome for item, outcome in emitted.get()}
    return outcomes


def _classified(classification: Classification | None) -> Row:
    if classification is None:
        return {"label": None, "confidence": None, "classification": None}
    said: dict[str, Any] = {"label": classification.label, "confidence": classification.confidence}
    scores = {} if classification.scores is None else {"scores": dict(classification.scores)}
    return {**said, "classification": _json(said | scores)}


def _failed(error: tuple[Stage, Failure] | None) -> Row:
    if error is None:
        return {"error_kind": None}
    stage, failure = error
    return {
        "error_kind": failure.kind.value,
        "error_type": failure.type,
        "error_message": failure.message,
        "error_stage": stage.value,
    }


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
