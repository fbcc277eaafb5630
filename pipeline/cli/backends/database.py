"""The database that commands work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from pipeline.batch_status import read_pace, read_status, unserved_queues
from pipeline.batches import guards, named_definitions
from pipeline.batches import progress as batch_progress
from pipeline.batches.find import find_batch
from pipeline.batches.named_definitions import NamedDefinition
from pipeline.batches.prepare import prepare
from pipeline.batches.progress import Details
from pipeline.batches.replays import dead_items, replay
from pipeline.batches.replays.dead_items import DeadFilter
from pipeline.batches.streamed.interrupted import list_interrupted
from pipeline.cli.backends.backend import NONE, FinalDeliveries, Json, Ping
from pipeline.cli.backends.rows import (
    cause_json,
    dead_json,
    definition_json,
    delivery_json,
    delivery_with_attempts_json,
    endpoint_json,
    item_json,
    ping_json,
    replay_json,
)
from pipeline.cli.run.log_output import errors_only
from pipeline.cli.run.wake_workers import wake_workers
from pipeline.cli.show.batch import progress_json, status_json
from pipeline.cli.show.endpoint import condition_text
from pipeline.cli.show.output import Messages
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.definitions import Definition
from pipeline.delivery import deliveries, delivery_search, endpoint_secrets, endpoints
from pipeline.delivery.alerts.views import list_alerts
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.endpoint_state import NOT_CALLED
from pipeline.domain.batch import Progress
from pipeline.domain.ids import split_item_id
from pipeline.domain.item import ItemState
from pipeline.domain.tenant import DEFAULT_TENANT
from pipeline.errors import Conflict, NotFound
from pipeline.execution.waiting_steps import find_waiting_steps


def _check_version(name: str, wanted: str | None, version: str | None) -> None:
    """Refuse to replace another version than the wanted one."""
    if wanted is not None and wanted != (NONE if version is None else version):
        is_now = "means nothing" if version is None else f"is version {version}"
        raise Conflict(f"definition {name!r} {is_now} now, not {wanted}")


class DatabaseBackend:
    """The database of a context; see `Backend`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.needs_command = context.settings.is_embedded

    def progress(self, batch: str) -> Progress:
        return batch_progress.progress(self._context, batch)

    def batches(self, limit: int) -> list[Json]:
        found = batch_progress.recent(self._context, limit)
        return [progress_json(each) | asdict(read_pace(self._context, each)) for each in found]

    def status(self, batch: str, *, full: bool) -> Json:
        return status_json(read_status(self._context, batch, full=full))

    def interrupted(self) -> list[tuple[str, str]]:
        return [(each.batch_id, each.text) for each in list_interrupted(self._context)]

    def unserved(self) -> dict[str, int]:
        return unserved_queues(self._context)

    def waiting_steps(self) -> list[str]:
        return [each.text for each in find_waiting_steps(self._context)]

    def troubled(self, limit: int) -> list[tuple[str, str]]:
        return [(each.origin, condition_text(each.condition)) for each in endpoints.troubled(self._context, limit)]

    def alerts(self, limit: int) -> list[Json]:
        return list_alerts(self._context, limit)

    def item(self, name: str, batch: str | None, *, with_payload: bool) -> Json | None:
        found = batch_progress.details(self._context, name, batch)
        return None if found is None else item_json(self._context, found, with_payload=with_payload)

    def item_or_progress(self, name: str, batch: str | None, *, with_payload: bool) -> Json | Progress:
        found = batch_progress.details_or_progress(self._context, name, batch)
        return item_json(self._context, found, with_payload=with_payload) if isinstance(found, Details) else found

    def dead(self, batch: str | None, limit: int) -> list[Json]:
        batch_id = None if batch is None else self._row(batch)["id"]
        before: int | None = None
        found: list[Json] = []
        while len(found) < limit:
            size = min(limit - len(found), dead_items.LOOKED_AT)
            page = dead_items.dead_page(
                self._context, DeadFilter(), batch_id=batch_id, tenant=None, before=before, limit=size
            )
            found += map(dead_json, page.rows)
            before = page.position
            if before is None:
                break
        return found

    def dead_causes(self, batch: str | None, wanted: DeadFilter, *, by_definition: bool) -> tuple[list[Json], bool]:
        batch_id = None if batch is None else self._row(batch)["id"]
        groups, has_older = dead_items.causes(
            self._context, wanted, batch_id=batch_id, tenant=None, by_definition=by_definition
        )
        return [cause_json(group) for group in groups], has_older

    def replay_matching(
        self, batch: str | None, wanted: DeadFilter, *, dry_run: bool, force: bool = False
    ) -> list[Json]:
        if batch is None:
            done = dead_items.replay_everywhere(self._context, wanted, dry_run=dry_run, force=force)
        else:
            row = self._row(batch)
            count = dead_items.replay_matching(self._context, row, wanted, dry_run=dry_run, force=force)
            done = {row["public_id"]: count}
        if not dry_run:
            wake_workers(self._context, Messages())
        return [replay_json(batch_id, count) for batch_id, count in done.items()]

    def _row(self, batch: str) -> Row:
        with self._context.database.read() as connection:
            return find_batch(connection, batch)

    def replay_items(
        self,
        batch_id: str,
        state: ItemState,
        items: Sequence[str] | None,
        messages: Messages,
        *,
        force: bool = False,
    ) -> int:
        named = None if items is None else [split_item_id(each) for each in items]
        positions = None if named is None else [each[1] for each in named if each is not None]
        replayed = replay.replay(self._context, batch_id, state, positions=positions, force=force)
        wake_workers(self._context, messages)
        return replayed

    def guards(self, batch: str) -> list[Json]:
        return [each.to_json() for each in guards.list_guards(self._context, batch)]

    def set_guard(self, batch: str, name: str, changes: Mapping[str, Any]) -> Json:
        return guards.set_guard(self._context, batch, name, changes).to_json()

    def remove_guard(self, batch: str, name: str) -> None:
        guards.remove_guard(self._context, batch, name)

    def reset_guard(self, batch: str, name: str) -> None:
        guards.reset_guard(self._context, batch, name)

    def definitions(self) -> list[Json]:
        return [definition_json(each) for each in named_definitions.every(self._context, None)]

    def definition(self, name: str, version: str | None) -> Json:
        return definition_json(named_definitions.find(self._context, name, DEFAULT_TENANT, version))

    def store_definition(self, definition: Definition, if_version: str | None) -> Json:
        name = named_definitions.check_name(definition.name)
        self._refuse_file(name)
        prepare(self._context, definition)
        check = partial(_check_version, name, if_version)
        is_new = named_definitions.store(self._context, DEFAULT_TENANT, definition, key_id=None, check=check)
        found = NamedDefinition(name, DEFAULT_TENANT, definition.version, updated_at=self._context.now())
        return definition_json(found) | {"is_new": is_new}

    def remove_definition(self, name: str) -> None:
        self._refuse_file(name)
        named_definitions.remove(self._context, DEFAULT_TENANT, name, check=lambda version: None)

    def _refuse_file(self, name: str) -> None:
        # Without a folder of definitions, a server looks in the one it is started in, which may not be this one.
        if self._context.settings.definitions is not None and named_definitions.is_file(self._context, name):
            raise Conflict(f"definition {name!r} is a file in the folder of definitions, which comes first")

    def deliveries(self, filters: Mapping[str, Any], limit: int) -> list[Json]:
        found = delivery_search.newest(self._context, Wanted(**filters), limit=limit)
        return [delivery_json(self._context, row) for row in found]

    def delivery(self, name: str) -> Json:
        number = delivery_search.number(self._context, name)
        return delivery_with_attempts_json(self._context, deliveries.show(self._context, number))

    def replay_delivery(self, name: str) -> Json:
        number = delivery_search.number(self._context, name)
        return delivery_json(self._context, deliveries.replay(self._context, number))

    def recover(self, chosen: FinalDeliveries, *, dry_run: bool) -> tuple[int, dict[str, int]]:
        filters = asdict(chosen)
        filters["origin"] = filters.pop("endpoint")
        count = deliveries.recover(self._context, **filters, dry_run=dry_run)
        return count, deliveries.left_out(self._context, **filters)

    def replay_missing(self, url: str, batch: str, *, batch_events: bool, dry_run: bool) -> int:
        return deliveries.replay_missing(self._context, url, batch, batch_events=batch_events, dry_run=dry_run)

    def endpoints(self, state: str | None, after: str | None, limit: int) -> list[Json]:
        return [endpoint_json(each) for each in endpoints.every(self._context, state=state, after=after, limit=limit)]

    def endpoint(self, origin: str) -> Json:
        return endpoint_json(endpoints.show(self._context, origin))

    def known_endpoint(self, origin: str) -> Json | None:
        try:
            return self.endpoint(origin)
        except NotFound:
            return None

    def configure_endpoint(self, origin: str, headers: Mapping[str, str | None], changes: Mapping[str, Any]) -> Json:
        return endpoint_json(endpoints.configure(self._context, origin, headers=headers, **changes))

    def enable_endpoint(self, origin: str) -> int:
        return endpoints.enable(self._context, origin)

    def disable_endpoint(self, origin: str, reason: str | None) -> int:
        with errors_only():
            return endpoints.disable(self._context, origin, reason)

    def ping_endpoint(self, url: str) -> Ping:
        # Imported here: what sends is needed by no other command.
        from pipeline.bootstrap import ping

        sent = ping(self._context, url)
        condition = None
        try:
            found = endpoints.show(self._context, url).condition
            condition = condition_text(found) if found.state in NOT_CALLED else None
        except NotFound:
            pass
        return Ping(sent.owed.origin, sent.answer.is_success, ping_json(sent), condition)

    def rotate_secret(self, origin: str, *, grace_seconds: float, asymmetric: bool) -> str:
        return endpoint_secrets.rotate(self._context, origin, grace_seconds=grace_seconds, asymmetric=asymmetric)

    def forget_secret(self, origin: str) -> None:
        endpoint_secrets.forget(self._context, origin)
