"""The server that commands work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from pipeline.batches.replays.dead_items import DeadFilter
from pipeline.cli.backends import answers
from pipeline.cli.backends.backend import NONE, FinalDeliveries, Json, Ping
from pipeline.cli.show.endpoint import condition_of, condition_text
from pipeline.cli.show.output import Messages
from pipeline.client.remote.answers import value_of
from pipeline.client.remote.definition_for_server import definition_for_server
from pipeline.client.remote.names import LAST, item_id
from pipeline.client.remote.remote_client import RemoteClient
from pipeline.client.remote.remote_delivery import delivery_path, find_deliveries
from pipeline.client.remote.remote_endpoint import endpoint_path
from pipeline.client.remote.result_pages import item_details
from pipeline.client.remote.server import Server, segment
from pipeline.definitions import Definition
from pipeline.delivery.delivery_search import check_name
from pipeline.delivery.rules.endpoint_settings import check_settings
from pipeline.delivery.rules.endpoint_state import NOT_CALLED, EndpointState
from pipeline.domain.batch import Progress
from pipeline.domain.bounds import shown
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.item import ItemState
from pipeline.errors import InvalidInput, NotFound


class ServerBackend:
    """A server of the HTTP API; see `Backend`. Its workers do the work."""

    needs_command = False

    def __init__(self, server: Server, client: RemoteClient) -> None:
        self._server, self._client = server, client

    def progress(self, batch: str) -> Progress:
        return self._client.batch(batch).progress()

    def batches(self, limit: int) -> list[Json]:
        found = self._server.entries("/v1/batches", limit=limit, throughput=True)
        return [answers.batch_json(each) for each in found]

    def status(self, batch: str, *, full: bool) -> Json:
        name = segment(self._client.batch(batch).id)
        return answers.status_json(self._server.get(f"/v1/batches/{name}/status", full=full))

    def interrupted(self) -> list[tuple[str, str]]:
        # Only submissions to a database can be resumed. Parts that are missing are listed by `GET …/parts`.
        return []

    def unserved(self) -> dict[str, int]:
        # Its operators see that: `/ready`, and `pipeline status` on the database.
        return {}

    def troubled(self, limit: int) -> list[tuple[str, str]]:
        found = [
            (each["origin"], condition_text(condition_of(answers.endpoint_json(each))))
            for state in EndpointState
            if state is not EndpointState.OK
            for each in self._server.entries("/v1/endpoints", limit=limit, state=state.value)
        ]
        return sorted(found)[:limit]

    def waiting_steps(self) -> list[str]:
        # A server tells them with each batch.
        return []

    def alerts(self, limit: int) -> list[Json]:
        return list(self._server.entries("/v1/alerts", limit=limit))

    def item(self, name: str, batch: str | None, *, with_payload: bool) -> Json | None:
        found = item_id(self._server, name, batch)
        if found is None:
            return None
        return answers.item_json(item_details(self._server, found, with_payload=with_payload))

    def item_or_progress(self, name: str, batch: str | None, *, with_payload: bool) -> Json | Progress:
        found = self.item(name, batch, with_payload=with_payload)
        if found is not None:
            return found
        try:
            return self.progress(name)
        except NotFound:
            raise NotFound(
                f"{shown(name)} is neither an item, nor a key in batch {batch or LAST!r}, nor a batch; --batch looks "
                "up keys in another"
            ) from None

    def dead(self, batch: str | None, limit: int) -> list[Json]:
        name = None if batch is None else self._client.batch(batch).id
        return [answers.dead_json(each) for each in self._server.entries("/v1/dead", limit=limit, batch=name)]

    def dead_causes(self, batch: str | None, wanted: DeadFilter, *, by_definition: bool) -> tuple[list[Json], bool]:
        name = None if batch is None else self._client.batch(batch).id
        since = None if wanted.finished_since is None else wanted.finished_since.isoformat()
        found = self._server.get(
            "/v1/dead/causes",
            batch=name,
            stage=wanted.stage,
            finished_since=since,
            by_definition=by_definition,
        )
        return [answers.cause_json(each) for each in found["data"]], found["is_partial"]

    def replay_matching(
        self, batch: str | None, wanted: DeadFilter, *, dry_run: bool, force: bool = False
    ) -> list[Json]:
        if batch is None:
            raise InvalidInput("a server replays the dead items of one batch at a time; name a BATCH")
        name = self._client.batch(batch).id
        since = None if wanted.finished_since is None else wanted.finished_since.isoformat()
        where = {"stage": wanted.stage, "type": wanted.type, "cause": wanted.cause, "finished_since": since}
        given = {key: value for key, value in where.items() if value is not None}
        body: Json = {"where": given} if given else {"all": True}
        body |= {"dry_run": dry_run, "force": force}
        found = self._server.change("POST", f"/v1/batches/{segment(name)}/dead/replay", body, is_repeatable=dry_run)
        return [{"batch_id": name, "matched": found["matched"], "replayed": found["replayed"], "error": None}]

    def replay_items(
        self,
        batch_id: str,
        state: ItemState,
        items: Sequence[str] | None,
        messages: Messages,
        *,
        force: bool = False,
    ) -> int:
        if force:
            if state is not ItemState.DEAD or items is not None:
                raise InvalidInput("a server forces only the replay of dead items by filter; leave out --force")
            return int(self.replay_matching(batch_id, DeadFilter(), dry_run=False, force=True)[0]["replayed"])
        batch = self._client.batch(batch_id)
        return batch.replay_dead(items) if state is ItemState.DEAD else batch.replay_cancelled(items)

    def guards(self, batch: str) -> list[Json]:
        return [answers.guard_json(each) for each in self._server.get(self._guards(batch))["data"]]

    def set_guard(self, batch: str, name: str, changes: Mapping[str, Any]) -> Json:
        path = f"{self._guards(batch)}/{segment(name)}"
        return answers.guard_json(self._server.change("PATCH", path, dict(changes), is_repeatable=True))

    def remove_guard(self, batch: str, name: str) -> None:
        self._server.change("DELETE", f"{self._guards(batch)}/{segment(name)}")

    def reset_guard(self, batch: str, name: str) -> None:
        self._server.change("POST", f"{self._guards(batch)}/{segment(name)}/reset", is_repeatable=True)

    def _guards(self, batch: str) -> str:
        return f"/v1/batches/{segment(self._client.batch(batch).id)}/guards"

    def definitions(self) -> list[Json]:
        return [answers.definition_json(each) for each in self._server.entries("/v1/definitions")]

    def definition(self, name: str, version: str | None) -> Json:
        return answers.definition_json(self._server.get(f"/v1/definitions/{segment(name)}", version=version))

    def store_definition(self, definition: Definition, if_version: str | None) -> Json:
        headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
        sent = self._server.send(
            "PUT",
            f"/v1/definitions/{segment(definition.name)}",
            orjson.dumps(definition_for_server(definition)),
            headers={"Content-Type": "application/json", **({"If-None-Match": "*"} if if_version == NONE else headers)},
            is_repeatable=if_version is None,
        )
        return answers.definition_json(value_of(sent)) | {"is_new": sent.status == 201}

    def remove_definition(self, name: str) -> None:
        self._server.change("DELETE", f"/v1/definitions/{segment(name)}")

    def deliveries(self, filters: Mapping[str, Any], limit: int) -> list[Json]:
        return [answers.delivery_json(each) for each in find_deliveries(self._server, filters, limit)]

    def delivery(self, name: str) -> Json:
        path = delivery_path(check_name(name))
        return answers.delivery_with_attempts_json(self._server.get(path))

    def replay_delivery(self, name: str) -> Json:
        return answers.delivery_json(self._server.change("POST", f"{delivery_path(check_name(name))}/replay"))

    def recover(self, chosen: FinalDeliveries, *, dry_run: bool) -> tuple[int, dict[str, int]]:
        body = {
            "batch": None if chosen.batch is None else self._client.batch(chosen.batch).id,
            "endpoint": chosen.endpoint,
            "since": chosen.since,
            "until": chosen.until,
            "states": sorted(set(chosen.states)),
            "dry_run": dry_run,
        }
        found = self._server.change("POST", "/v1/deliveries/recover", body, is_repeatable=dry_run)
        return int(found["matched"]), {each["endpoint"]: each["count"] for each in found["left_out"]}

    def replay_missing(self, url: str, batch: str, *, batch_events: bool, dry_run: bool) -> int:
        return self._client.replay_missing(url, batch, batch_events=batch_events, dry_run=dry_run)

    def endpoints(self, state: str | None, after: str | None, limit: int) -> list[Json]:
        start = "" if after is None else parse_callback_url(after, name="`after`").origin
        found: list[Json] = []
        for each in self._server.entries("/v1/endpoints", state=state):
            if len(found) == limit:
                break
            if each["origin"] > start:
                found.append(answers.endpoint_json(each))
        return found

    def endpoint(self, origin: str) -> Json:
        return answers.endpoint_json(self._server.get(_path(origin)))

    def known_endpoint(self, origin: str) -> Json | None:
        try:
            return self.endpoint(origin)
        except NotFound:
            return None

    def configure_endpoint(self, origin: str, headers: Mapping[str, str | None], changes: Mapping[str, Any]) -> Json:
        check_settings(changes)
        body = {**changes, **({"headers": dict(headers)} if headers else {})}
        return answers.endpoint_json(self._server.change("PATCH", _path(origin), body, is_repeatable=True))

    def enable_endpoint(self, origin: str) -> int:
        return self._client.endpoint(origin).enable()

    def disable_endpoint(self, origin: str, reason: str | None) -> int:
        return self._client.endpoint(origin).disable(reason)

    def ping_endpoint(self, url: str) -> Ping:
        origin = parse_callback_url(url, name="the URL").origin
        found = self._server.change("POST", f"{endpoint_path(origin)}/test", {"url": url}, is_repeatable=True)
        condition = None
        with suppress(NotFound):
            is_now = condition_of(self.endpoint(url))
            condition = condition_text(is_now) if is_now.state in NOT_CALLED else None
        return Ping(origin, found["is_success"], answers.ping_json(url, found), condition)

    def rotate_secret(self, origin: str, *, grace_seconds: float, asymmetric: bool) -> str:
        return self._client.endpoint(origin).rotate_secret(grace_seconds=grace_seconds, asymmetric=asymmetric)

    def forget_secret(self, origin: str) -> None:
        self._client.endpoint(origin).forget_secret()


def _path(url: str) -> str:
    return endpoint_path(parse_callback_url(url, name="the endpoint").origin)
