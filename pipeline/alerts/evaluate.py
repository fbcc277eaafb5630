"""Look at the installation: which rules are met, which alerts open, and which are over.

One process looks, every 15 seconds, from counters of batches, partial indexes and leases. A rule whose statement fails
does not keep the others from being looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.alerts.episodes import open_episode, resolve_episode
from pipeline.alerts.rules.catalog import RULES
from pipeline.alerts.rules.channel import AlertSettings
from pipeline.alerts.rules.episode import Episode
from pipeline.alerts.rules.looks import AlertChanges, Looks
from pipeline.alerts.sql import alerts, signals
from pipeline.context import Context
from pipeline.database import leases
from pipeline.domain.event import format_timestamp

#: Seconds between two looks.
LOOK_SECONDS = 15.0
#: How long ago an item was given up because its workers died, at most.
_DIED_WITHIN = timedelta(minutes=10)
#: Within this time, many alerts are a storm.
STORM_WITHIN = timedelta(minutes=1)
#: Keys that `many_alerts` names.
_KEYS_NAMED = 10
#: Reason of alerts whose condition is no longer met, and of alerts about batches that ended.
OVER, BATCH_ENDED = "over", "batch_ended"
#: Rules that are not looked at here: a process finds out by itself that it reaches nothing.
_LOOKED_AT = frozenset(RULES) - {"database_unreachable", "broker_unreachable"}
_DISPATCH, _QUEUE = "dispatch", "queue:"


class Evaluator:
    """Looks at the installation. It remembers the last looks, so one process keeps one evaluator.

    Args:
        settings: returns what `PIPELINE_ALERTS` says now.
    """

    def __init__(self, context: Context, settings: Callable[[], AlertSettings]) -> None:
        self._context = context
        self._settings = settings
        self._looks = Looks(lambda name: settings().looks_needed(name))
        self._since: dict[str, datetime] = {}

    def look(self) -> AlertChanges:
        """Look once, and open and resolve alerts. Return what changed."""
        now, settings = self._context.now(), self._settings()
        with self._context.database.read() as connection:
            found = {episode.key: episode for episode in self._found(connection, settings, now)}
            firing = alerts.find_firing(connection)
        names = {row["key"]: row["name"] for row in firing if row["name"] in _LOOKED_AT}
        changes = self._looks.look(found, names)
        is_of_batch = any(row["batch_id"] is not None for row in firing)
        if not (changes.opened or changes.resolved or is_of_batch):
            return changes
        with self._context.database.write() as connection:
            if is_of_batch:
                alerts.resolve_of_ended_batches(connection, BATCH_ENDED, now)
            for episode in changes.opened:
                open_episode(connection, episode, now)
            for key in changes.resolved:
                resolve_episode(connection, key, OVER, now)
        return changes

    def _found(self, connection: Connection, settings: AlertSettings, now: datetime) -> Iterator[Episode]:
        look = _Look(connection, settings, now, self._context.lease)
        yield from _of_batches(look)
        # Embedded, this process dispatches and runs everything itself, and holds no such leases.
        if not self._context.settings.is_embedded:
            yield from _of_dispatch(look, self._since)
            yield from _of_stages(look, self._since)
        yield from _of_deliveries(look)
        yield from _of_endpoints(look)
        yield from _of_workers(look)
        yield from _of_channels(look)
        yield from _of_alerts(look)


@dataclass(frozen=True, slots=True)
class _Look:
    connection: Connection
    settings: AlertSettings
    now: datetime
    lease: timedelta

    def thresholds(self, name: str) -> Mapping[str, float] | None:
        """Return the settings of a rule; None if it is off."""
        rule = self.settings.rules[name]
        return rule.thresholds if rule.is_enabled else None

    def episode(
        self,
        name: str,
        about: str,
        summary: str,
        value: Mapping[str, object],
        *,
        batch_id: int | None = None,
        origin: str | None = None,
    ) -> Episode:
        key = f"{name}:{about}" if about else name
        return Episode(name, key, self.settings.rules[name].severity, summary, batch_id, origin, value)


def _of_batches(look: _Look) -> Iterator[Episode]:
    failing, stuck = look.settings.rules["batch_failing"], look.settings.rules["batch_stuck"]
    after = timedelta(seconds=stuck.thresholds["after_seconds"])
    found = signals.find_open_batches(look.connection, look.now, **failing.thresholds, quiet_since=look.now - after)
    for batch in found:
        if failing.is_enabled:
            yield from _failing(look, batch, failing.thresholds)
        if stuck.is_enabled and batch.is_quiet:
            seconds = int((look.now - batch.last_event_at).total_seconds())
            summary = f"no item of batch {batch.public_id} has finished for {seconds} s; {batch.remaining} remain"
            value = {"seconds": seconds, "remaining": batch.remaining, "threshold": after.total_seconds()}
            yield look.episode("batch_stuck", batch.public_id, summary, value, batch_id=batch.id)
        yield from _deadline(look, batch)


def _failing(look: _Look, batch: signals.WatchedBatch, thresholds: Mapping[str, float]) -> Iterator[Episode]:
    finals, rate = batch.finals, thresholds["rate"]
    if finals < thresholds["min_items"] or batch.dead < rate * finals:
        return
    share = batch.dead / finals
    summary = f"{batch.dead} of {finals} finished items of batch {batch.public_id} are dead ({share:.0%})"
    value = {"rate": round(share, 4), "failures": batch.dead, "observed": finals, "threshold": rate}
    yield look.episode("batch_failing", batch.public_id, summary, value, batch_id=batch.id)


def _deadline(look: _Look, batch: signals.WatchedBatch) -> Iterator[Episode]:
    if batch.deadline is None:
        return
    deadline = format_timestamp(batch.deadline)
    if batch.deadline <= look.now:
        if look.thresholds("batch_late") is not None:
            summary = f"batch {batch.public_id} was due at {deadline}; {batch.remaining} items remain"
            value: dict[str, object] = {"deadline": deadline, "remaining": batch.remaining}
            yield look.episode("batch_late", batch.public_id, summary, value, batch_id=batch.id)
        return
    if batch.pace_since is None or batch.pace_since >= look.now or look.thresholds("batch_at_risk") is None:
        return
    pace = signals.PACE_EVENTS / (look.now - batch.pace_since).total_seconds()
    # Beyond what a datetime can hold it is late as well.
    left = min(batch.remaining / pace, timedelta(days=3_650).total_seconds())
    expected = look.now + timedelta(seconds=left)
    if expected > batch.deadline:
        summary = (
            f"batch {batch.public_id} is due at {deadline}; at {pace:.3g} items/s its {batch.remaining} remaining "
            f"items end at {format_timestamp(expected)}"
        )
        value = {"deadline": deadline, "items_per_second": round(pace, 3), "remaining": batch.remaining}
        yield look.episode("batch_at_risk", batch.public_id, summary, value, batch_id=batch.id)


def _of_dispatch(look: _Look, since: dict[str, datetime]) -> Iterator[Episode]:
    thresholds = look.thresholds("nothing_dispatches")
    lease = leases.find(look.connection, _DISPATCH)
    is_held = lease is not None and lease["until"] > look.now
    if thresholds is None or is_held or not signals.has_due_items(look.connection, look.now):
        since.pop(_DISPATCH, None)
        return
    first = since.setdefault(_DISPATCH, look.now if lease is None else min(lease["until"], look.now))
    seconds = int((look.now - first).total_seconds())
    if seconds >= thresholds["after_seconds"]:
        summary = f"items are due and no process has dispatched for {seconds} s"
        value = {"seconds": seconds, "threshold": thresholds["after_seconds"]}
        yield look.episode("nothing_dispatches", "", summary, value)


def _of_stages(look: _Look, since: dict[str, datetime]) -> Iterator[Episode]:
    thresholds = look.thresholds("nothing_runs")
    if thresholds is None:
        return
    served = {row["name"]: row["until"] for row in leases.find_by_prefix(look.connection, _QUEUE)}
    after = max(thresholds["after_seconds"], 2 * look.lease.total_seconds())
    waiting = signals.find_released_stages(look.connection)
    for stage in ("classify", "enrich"):
        until = served.get(f"{_QUEUE}{stage}")
        if stage not in waiting or (until is not None and until > look.now):
            since.pop(stage, None)
            continue
        # A worker extends the lease to a whole lease from now.
        first = since.setdefault(stage, look.now if until is None else min(until - look.lease, look.now))
        seconds = int((look.now - first).total_seconds())
        if seconds >= after:
            summary = f"items wait for the stage {stage} and no worker has served its queue for {seconds} s"
            value = {"seconds": seconds, "threshold": after, "stage": stage}
            yield look.episode("nothing_runs", stage, summary, value)


def _of_deliveries(look: _Look) -> Iterator[Episode]:
    thresholds = look.thresholds("deliveries_late")
    if thresholds is None:
        return
    after = timedelta(seconds=thresholds["after_seconds"])
    row = signals.find_latest_delivery(look.connection, look.now - after)
    if row is not None:
        seconds = int((look.now - row["due_at"]).total_seconds())
        summary = f"a callback to {row['origin']} has been due for {seconds} s"
        value = {"seconds": seconds, "threshold": after.total_seconds(), "rate": row["rate"]}
        yield look.episode("deliveries_late", "", summary, value, origin=row["origin"])


def _of_endpoints(look: _Look) -> Iterator[Episode]:
    for origin, reason in signals.find_troubled_endpoints(look.connection):
        if reason is None and look.thresholds("endpoint_failing") is not None:
            summary = f"{origin} has accepted nothing for an hour"
            yield look.episode("endpoint_failing", origin, summary, {}, origin=origin)
        # What people disabled they know of.
        elif reason not in (None, "manual") and look.thresholds("endpoint_disabled") is not None:
            summary = f"{origin} is not called any more ({reason}); its deliveries are kept"
            yield look.episode("endpoint_disabled", origin, summary, {"reason": reason}, origin=origin)


def _of_workers(look: _Look) -> Iterator[Episode]:
    thresholds = look.thresholds("workers_dying")
    if thresholds is None:
        return
    most = int(thresholds["items"])
    suspects = signals.count_suspects(look.connection, most)
    given_up = signals.count_given_up(look.connection, look.now - _DIED_WITHIN)
    if suspects >= most or given_up:
        more = " or more" if suspects == most else ""
        summary = f"workers died holding {suspects}{more} items that are not finished; {given_up} were given up"
        value = {"items": suspects, "given_up": given_up, "threshold": most}
        yield look.episode("workers_dying", "", summary, value)


def _of_channels(look: _Look) -> Iterator[Episode]:
    thresholds = look.thresholds("channel_failing")
    if thresholds is None:
        return
    seen: set[str] = set()
    for origin, state, attempt in signals.find_channel_deliveries(look.connection):
        # The newest delivery that was tried decides.
        if origin in seen or (state in ("pending", "sending") and attempt < thresholds["attempts"]):
            continue
        seen.add(origin)
        name = origin.rpartition("/")[2]
        if state != "delivered" and name in look.settings.channels:
            summary = f"the channel {name} does not take alerts; tried {attempt} times"
            yield look.episode("channel_failing", name, summary, {"attempts": attempt}, origin=origin)


def _of_alerts(look: _Look) -> Iterator[Episode]:
    episode = find_storm(look.connection, look.settings, look.now)
    if episode is not None:
        yield episode


def find_storm(connection: Connection, settings: AlertSettings, now: datetime) -> Episode | None:
    """Return the alert that stands for many, if more than a storm of them opened within the last minute."""
    rule = settings.rules["many_alerts"]
    opened = alerts.find_opened(connection, now - STORM_WITHIN, "many_alerts") if rule.is_enabled else []
    if len(opened) <= rule.thresholds["alerts"]:
        return None
    counts = Counter(name for name, _ in opened)
    named = ", ".join(f"{number} {name}" for name, number in counts.most_common())
    value = {
        "alerts": len(opened),
        "threshold": rule.thresholds["alerts"],
        "by_rule": dict(counts),
        "keys": [key for _, key in opened[:_KEYS_NAMED]],
    }
    summary = f"{len(opened)} alerts opened within a minute: {named}"
    return Episode("many_alerts", "many_alerts", rule.severity, summary, value=value)
