"""A trial: a batch that is submitted to be struck, and what must have become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from pipeline.batches import control
from pipeline.batches.progress import is_complete
from pipeline.batches.replays.replay import replay_dead
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.database.retry import retrying
from pipeline.database.tables import batches, deliveries, items
from pipeline.definitions import Definition
from pipeline.errors import Conflict
from tests.faults.site import Site

#: Of a hundred items, how many are of which kind; the rest are plain. See `callables`.
KINDS = {"held": 15, "slow": 10, "flaky": 10, "fatal": 3}

DEFINITION = Definition(
    name="ordeal",
    classify={"use": "tests.faults.callables:classify"},
    enrich=[{"use": "tests.faults.callables:enrich", "timeout_seconds": 600}],
    retry={"base_seconds": 0.1, "max_attempts": 10},
)


@dataclass
class Trial:
    """A submitted batch.

    Args:
        kinds: kind of each item, by position.
        gate: the file that lets held items go on.
        replayed: positions of the items that were replayed after they had died.
        is_cancelled: whether it was cancelled, or may have been.
    """

    site: Site
    batch_id: str
    row_id: int
    kinds: dict[int, str]
    gate: Path
    replayed: set[int] = field(default_factory=set)
    is_cancelled: bool = False

    @property
    def total(self) -> int:
        return len(self.kinds)

    def open_gate(self) -> None:
        """Let held items go on."""
        self.gate.touch()

    def is_under_way(self) -> bool:
        """Say whether something is final and something is running."""
        query = select(items.c.state, func.count()).where(items.c.batch_id == self.row_id).group_by(items.c.state)
        with self.site.context.database.read() as connection:
            states: dict[str, int] = {state: number for state, number in connection.execute(query)}
        return bool(states.get("running")) and bool(states.get("succeeded"))

    @property
    def killers(self) -> list[int]:
        """The positions of the items that kill whoever runs them."""
        return [position for position, kind in self.kinds.items() if kind == "poison"]

    def are_others_final(self) -> bool:
        """Say whether every item is final but those that kill whoever runs them."""
        others = items.c.batch_id == self.row_id, items.c.position.not_in(self.killers)
        query = select(func.count()).where(*others, items.c.state.not_in(["succeeded", "dead", "cancelled"]))
        with self.site.context.database.read() as connection:
            return connection.scalar(query) == 0

    def is_complete(self) -> bool:
        """Say whether every item is final."""
        return is_complete(self.site.context, self.row_id)

    def is_settled(self) -> bool:
        """Say whether every item is final, and no callback is under way."""
        owed = deliveries.c.state.in_(["pending", "sending", "paused"])
        query = select(func.count()).select_from(deliveries).where(deliveries.c.batch_id == self.row_id, owed)
        with self.site.context.database.read() as connection:
            return self.is_complete() and connection.scalar(query) == 0

    def pause(self) -> bool:
        """Have nothing more released; False where it is final already."""
        return self._changed(lambda: control.pause(self.site.context, self.batch_id))

    def resume(self) -> None:
        """Have the rest released."""
        self._changed(lambda: control.resume(self.site.context, self.batch_id))

    def cancel(self) -> None:
        """Cancel what has not begun."""
        self.is_cancelled = self._changed(lambda: control.cancel(self.site.context, self.batch_id))

    @property
    def may_be_replayed(self) -> bool:
        """Whether, when it is over, some are dead who will die again and harm nobody."""
        kinds = set(self.kinds.values())
        return "fatal" in kinds and not self.killers and not self.is_cancelled and not self.replayed

    def replay(self) -> bool:
        """Have the dead tried again; only while nothing strikes, since twice would be once too often."""
        self.replayed = {position for position, kind in self.kinds.items() if kind == "fatal"}
        return replay_dead(self.site.context, self.batch_id) == len(self.replayed)

    def _changed(self, change: Callable[[], object]) -> bool:
        try:
            retrying(change, patience=timedelta(minutes=1))
        except Conflict:
            return False
        return True


def begin(site: Site, key: str, number: int, *, poison: int = 0) -> Trial:
    """Submit a batch; the same key means the same batch, however often it is submitted.

    Raises:
        Unreachable, OperationalError: the database is in trouble; nothing was accepted.
    """
    kinds = {position: _kind(position) for position in range(1, number + 1)}
    kinds |= dict.fromkeys(range(1, poison + 1), "poison")
    gate = site.folder / f"gate-{key}"
    given = [{"text": f"item {n}", "kind": kind, "gate": str(gate)} for n, kind in kinds.items()]
    url = site.receiver.url
    submission = Submission(DEFINITION, callback_url=url, batch_callback_url=url, idempotency_key=key)
    accepted = submit(site.context, given, submission)
    with site.context.database.read() as connection:
        row_id = connection.scalar(select(batches.c.id).where(batches.c.public_id == accepted.batch_id))
    assert row_id is not None
    return Trial(site, accepted.batch_id, row_id, kinds, gate)


def _kind(position: int) -> str:
    # Scattered over the batch, and the same in each: of any hundred in a row, each kind has its share.
    lot = position * 37 % 100
    for kind, share in KINDS.items():
        if lot < share:
            return kind
        lot -= share
    return "plain"
