"""Claim due deliveries, and record the answers. Each function owns its transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pipeline.database.engine import Database
from pipeline.database.row import Row
from pipeline.delivery.admission import admit, callable_at, cap, charge
from pipeline.delivery.claim_lease import Terms, take
from pipeline.delivery.claim_select import patient, pick
from pipeline.delivery.credentials_cache import CredentialsCache
from pipeline.delivery.give_up import expire
from pipeline.delivery.notices import tell
from pipeline.delivery.record import settle
from pipeline.delivery.record_health import observe_all
from pipeline.delivery.rules.capacity import Capacity, share
from pipeline.delivery.rules.credentials import Credentials, Sealed
from pipeline.delivery.rules.delivery import Decision, DeliveryState, Owed, Sent, decide, is_alert_channel, is_target
from pipeline.delivery.sql import claims, endpoints, rescue
from pipeline.delivery.sql.pause import pause_deliveries
from pipeline.domain.retry_schedule import ALL_SCHEDULES, Schedule
from pipeline.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """The claimed requests, and when to look again.

    Args:
        has_more: whether an endpoint may have more due deliveries, and free slots for them.
        next_at: when the next delivery becomes due; None if none is waiting.
        backlog: endpoints that may have deliveries that are due and were not claimed.
    """

    owed: tuple[Owed, ...] = ()
    has_more: bool = False
    next_at: datetime | None = None
    backlog: frozenset[str] = frozenset()


#: Shares free slots between endpoints, given as (origin, configured cap or None), up to a number in all.
ShareOut = Callable[[Sequence[tuple[str, int | None]], int], dict[str, int]]


def claim_due(
    database: Database,
    room: Capacity,
    *,
    worker: str,
    now: datetime,
    lease_until: Callable[[], datetime],
    most: int,
    wallet: CredentialsCache | None = None,
    share_out: ShareOut | None = None,
    only_targets: bool = False,
    with_alerts: bool = False,
) -> Claim:
    """Claim due deliveries under a lease, shared between endpoints according to `room`.

    Endpoints that asked to wait are skipped, and so are those whose secrets or headers `wallet` cannot decrypt: nothing
    is sent unsigned, and another sender may have the key. Deliveries to disabled endpoints are paused.

    Args:
        worker: name of the sender, which holds the lease.
        lease_until: called once all locks are held, so that waiting for a lock does not shorten the lease.
        most: maximum number of requests.
        only_targets: leave webhooks to a sender that can sign them.
        with_alerts: claim alerts, too; other senders lack the file that says where they go.
        share_out: shares the slots of `room`, and may hold them meanwhile; default: `capacity.share`.
    """
    choose = share_out or partial(share, room)
    sends = partial(_sends, only_targets=only_targets, with_alerts=with_alerts)
    plan = _plan(database, room, now, most, wallet or CredentialsCache(), choose, sends)
    if not plan.shares and not plan.disabled:
        return Claim(next_at=min(plan.later, default=None), backlog=plan.due)
    with database.write() as connection:
        if plan.disabled:
            # Checked again under the lock: deliveries to an endpoint enabled meanwhile would stay paused forever.
            pause_deliveries(connection, endpoints.lock_disabled(connection, plan.disabled))
        admission = admit(connection, list(plan.known.values()), plan.shares, now)
        picked = pick(connection, plan.known, admission.shares, now)
        until = lease_until()
        owed = take(connection, picked, Terms(worker, until, now, plan.known, admission.probes, plan.credentials))
        taken = Counter(each.origin for each in owed)
        paid_until = charge(connection, admission, taken, now, until)
    for origin in admission.probes:
        _expire(database, origin, plan.known[origin]["schedule"], now)
    is_short = any(plan.shares.get(origin, 0) < room.at(origin, most_there) for origin, most_there in plan.ready)
    later = (*plan.later, paid_until, *(requests.next_at for requests in picked))
    next_at = min((at for at in later if at is not None and at > now), default=None)
    # Where fewer were found than the share, nothing else is due.
    backlog = frozenset(origin for origin in plan.due if taken[origin] >= admission.shares.get(origin, 0))
    return Claim(owed, has_more=is_short and bool(owed), next_at=next_at, backlog=backlog)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a claim intends to take. Decided without locks, so it is checked again where it matters.

    Args:
        known: enabled endpoints with pending deliveries whose credentials this process can decrypt.
        disabled: endpoints whose deliveries are to be paused.
        ready: endpoints that may be called now, with the requests that may be in flight there; None: the default.
        later: when the other endpoints may be called.
        shares: how many deliveries to claim, by endpoint.
        credentials: secrets and headers, by endpoint.
        due: enabled endpoints with deliveries that are due, even if they may not be called yet.
    """

    known: dict[str, Row]
    disabled: list[str]
    ready: list[tuple[str, int | None]]
    later: list[datetime]
    shares: dict[str, int]
    credentials: Mapping[str, Credentials | None]
    due: frozenset[str]


def _plan(
    database: Database,
    room: Capacity,
    now: datetime,
    most: int,
    wallet: CredentialsCache,
    share_out: ShareOut,
    sends: Callable[[str], bool],
) -> _Plan:
    with database.read() as connection:
        found = claims.find_waiting_endpoints(connection)
        waiting = patient(connection, [row for row in found if sends(row["origin"])], now)
    credentials = _credentials(waiting, wallet)
    locked = {origin for origin, found in credentials.items() if found is None}
    enabled = [row for row in waiting if row["disabled_at"] is None]
    known = {row["origin"]: row for row in enabled if row["origin"] not in locked}
    times = {origin: callable_at(row, now) for origin, row in known.items()}
    ready = [(origin, cap(row, room, now)) for origin, row in known.items() if times[origin] <= now]
    return _Plan(
        known=known,
        disabled=[row["origin"] for row in waiting if row["disabled_at"] is not None],
        ready=ready,
        later=[at for at in times.values() if at > now],
        shares=share_out(ready, most),
        credentials=credentials,
        due=frozenset(row["origin"] for row in enabled if row["due_at"] <= now),
    )


def _expire(database: Database, origin: str, schedule: str | None, now: datetime) -> None:
    """Give up deliveries that became too old while the endpoint, which now gets a probe, was not called.

    A failure is only logged: what was claimed has to be sent, because its leases are running.
    """
    try:
        expire(database, origin, schedule, now)
    except Exception as error:
        log.error("expire_failed", origin=origin, error=type(error).__name__)


def _sends(origin: str, *, only_targets: bool, with_alerts: bool) -> bool:
    if is_alert_channel(origin):
        return with_alerts
    return not only_targets or is_target(origin)


def is_busy(database: Database, worker: str, now: datetime, *, sends: Callable[[str], bool] = lambda _: True) -> bool:
    """Return whether `worker` is sending, or could send something that is due now.

    Args:
        sends: whether it sends to an endpoint at all.
    """
    with database.read() as connection:
        # Events that wait to be bundled are unfinished work.
        found = [row for row in claims.find_waiting_endpoints(connection) if sends(row["origin"])]
        rows = [{**row, "coalesce_items": None} for row in found]
        waiting = patient(connection, rows, now)
        holders = rescue.find_holders(connection)
    return worker in holders or any(row["disabled_at"] is None and callable_at(row, now) <= now for row in waiting)


def record_sent(database: Database, sent: Sequence[Sent], *, worker: str, schedule: Schedule) -> list[Decision]:
    """Record attempts and their consequences in one transaction. Return the decisions, in the same order."""
    decisions = [decide(each, ALL_SCHEDULES.get(each.owed.schedule or "", schedule)) for each in sent]
    decided = list(zip(sent, decisions, strict=True))
    with database.write() as connection:
        settle(connection, decided, worker)
        noticed = observe_all(connection, decided)
    _tell(decided)
    tell(noticed)
    return decisions


def holders(database: Database) -> set[str]:
    """Return the names of the processes that hold deliveries."""
    with database.read() as connection:
        return {*rescue.find_holders(connection)}


def take_back(database: Database, now: datetime, dead: Sequence[str] = ()) -> int:
    """Make deliveries pending again if their sender did not record an answer in time or is among `dead`.

    Returns:
        The number of deliveries.
    """
    with database.write() as connection:
        return rescue.take_back(connection, dead, now=now)


def release(
    database: Database,
    worker: str,
    now: datetime,
    ids: Sequence[int] | None = None,
    until: datetime | None = None,
) -> int:
    """Return deliveries that a sender holds to the queue, without counting an attempt. Return their number.

    Args:
        ids: only these; None: all, because the sender stops.
        until: only under a lease that ends then.
    """
    with database.write() as connection:
        return rescue.hand_back(connection, worker, now, ids, until)


def _credentials(waiting: Sequence[Row], wallet: CredentialsCache) -> dict[str, Credentials | None]:
    """Return the credentials of endpoints that have any; None where this process cannot decrypt them."""
    own = [row for row in waiting if row["secrets"] or row["headers"]]
    return {row["origin"]: wallet.open(Sealed(row["origin"], row["secrets"], row["headers"])) for row in own}


def _tell(decided: Sequence[tuple[Sent, Decision]]) -> None:
    """Log deliveries that were given up: one line per endpoint and code, with the first delivery and their number."""
    dead = [sent for sent, decision in decided if decision.state is DeliveryState.DEAD]
    counts: Counter[tuple[str, str | None]] = Counter()
    firsts: dict[tuple[str, str | None], Sent] = {}
    for sent in dead:
        kind = (sent.owed.origin, sent.answer.code)
        counts[kind] += sent.owed.count
        firsts.setdefault(kind, sent)
    for kind, sent in firsts.items():
        log.warning(
            "delivery_dead",
            delivery=sent.owed.id,
            deliveries=counts[kind],
            webhook_id=sent.owed.webhook_id,
            origin=sent.owed.origin,
            attempt=sent.owed.attempt,
            code=sent.answer.code,
        )
