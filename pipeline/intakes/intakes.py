"""Intakes as people and consumers see them: register, list, pause, resume, rewind."""

from __future__ import annotations

from typing import Any

from pipeline.batches.store_items import refuse_foreign
from pipeline.batches.submission import Submission, store_definition
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.bounds import shown
from pipeline.errors import Conflict, NotFound
from pipeline.intakes.roll import seal
from pipeline.intakes.rules.log_offsets import parse_offset
from pipeline.intakes.rules.options import IntakeOptions
from pipeline.intakes.sql import intakes, received

_SHOWN = ("name", "source", "state", "definition", *intakes.COUNTERS, "last_error", "last_message_at", "created_at")


def register(context: Context, name: str, source: str, submission: Submission, options: IntakeOptions) -> Row:
    """Return the intake of this name, made if there is none, with these options.

    Raises:
        Conflict: it reads another source, or is paused.
        EndpointOwned: rejections are to go to an endpoint of another tenant.
    """
    now = context.now()
    with context.database.write() as connection:
        refuse_foreign(connection, (options.reject_to,), submission.tenant)
        definition_id = store_definition(connection, submission.definition, now)
        found = intakes.find_by_name(connection, name)
        if found is None:
            row = {"name": name, "source": source, "definition_id": definition_id, "created_at": now}
            intakes.add(connection, {**row, "options": options.to_json()})
        else:
            _check(found, source)
            intakes.change(connection, found["id"], definition_id=definition_id, options=options.to_json())
    if found is not None and found["batch_id"] is not None and found["definition_id"] != definition_id:
        # The next message opens a batch with the other definition.
        seal(context, found["id"], found["batch_id"])
    return find(context, name)


def _check(found: Row, source: str) -> None:
    name = found["name"]
    if found["source"] != source:
        raise Conflict(f"intake {name!r} reads {found['source']}; choose another --name for {source}")
    if found["state"] != "running":
        reason = f": {found['last_error']}" if found["last_error"] else ""
        raise Conflict(f"intake {name!r} is {found['state']}{reason}; run `pipeline intakes resume {name}` first")


def find(context: Context, name: str) -> Row:
    """Return an intake.

    Raises:
        NotFound: there is none of this name.
    """
    with context.database.read() as connection:
        found = intakes.find_by_name(connection, name)
    if found is None:
        raise NotFound(f"there is no intake {shown(name)}; `pipeline intakes list` lists them")
    return found


def find_all(context: Context) -> list[Row]:
    """Return every intake, by name."""
    with context.database.read() as connection:
        return intakes.find_all(connection)


def view(row: Row) -> dict[str, Any]:
    """Return an intake as people and programs see it."""
    return {**{name: row[name] for name in _SHOWN}, "batch_id": row["public_id"]}


def details(context: Context, name: str, limit: int) -> dict[str, Any]:
    """Return an intake with its positions, the items that wait, and its last rejections, newest first.

    Raises:
        NotFound: there is none of this name.
    """
    row = find(context, name)
    with context.database.read() as connection:
        rejects = received.find_rejects(connection, row["id"], limit)
        return {
            **view(row),
            "options": row["options"],
            "backlog": row["backlog"],
            "backlog_at": row["backlog_at"],
            "pending": intakes.count_pending(connection, row["id"]),
            "positions": received.positions(connection, row["id"]),
            "rejects": [_reject(each) for each in rejects],
        }


def _reject(row: Row) -> dict[str, Any]:
    names = ("partition", "offset", "message_id", "reason", "rejected_at")
    return {**{name: row[name] for name in names}, "body": row["body"].decode(errors="backslashreplace")}


def pause(context: Context, name: str, error: str | None = None) -> Row:
    """Take no more messages. The open batch is sealed, and its items are processed.

    Args:
        error: why the intake stops itself; None: somebody asked for it.

    Raises:
        NotFound: there is none of this name.
    """
    row = find(context, name)
    with context.database.write() as connection:
        state = "paused" if error is None else "failed"
        intakes.change(connection, row["id"], state=state, last_error=error)
    if row["batch_id"] is not None:
        seal(context, row["id"], row["batch_id"])
    return find(context, name)


def resume(context: Context, name: str) -> Row:
    """Let consumers take messages again.

    Raises:
        NotFound: there is none of this name.
    """
    row = find(context, name)
    with context.database.write() as connection:
        intakes.change(connection, row["id"], state="running", last_error=None)
    return find(context, name)


def rewind(context: Context, name: str, to: str, partition: str | None = None) -> dict[str, str]:
    """Have every message from an offset on accepted again, as new items. Return the positions.

    Args:
        to: `earliest`, an offset of Kafka, or the id of an entry of Redis.
        partition: the only one that is rewound; None: all are.

    Raises:
        NotFound: there is none of this name, or it has no such partition.
        InvalidInput: its source has no such offsets.
        Conflict: its source has no offsets: it has deleted what was accepted.
    """
    row = find(context, name)
    with context.database.write() as connection:
        known = received.positions(connection, row["id"])
        if not known:
            raise Conflict(f"intake {name!r} has no positions: {row['source']} was never read, or has no offsets")
        if partition is not None and partition not in known:
            raise NotFound(f"intake {name!r} has no partition {shown(partition)}; it has {', '.join(known)}")
        for each in known if partition is None else [partition]:
            stand = received.lock_position(connection, row["id"], each)
            received.move_position(connection, row["id"], each, parse_offset(to, stand))
        return received.positions(connection, row["id"])
