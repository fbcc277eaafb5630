"""What commands ask of what they work on. Answers are as `--json` prints them; times are instants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pipeline.batches.replays.dead_items import DeadFilter
from pipeline.cli.show.output import Messages
from pipeline.definitions import Definition
from pipeline.domain.batch import Progress
from pipeline.domain.item import ItemState

Json = dict[str, Any]

#: The version of a name that means nothing.
NONE = "none"


@dataclass(frozen=True, slots=True)
class FinalDeliveries:
    """A filter: finished deliveries that match every condition; None: any."""

    batch: str | None
    endpoint: str | None
    since: datetime | None
    until: datetime | None
    states: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ping:
    """What a `webhook.ping` came to, and the condition of its endpoint if no callbacks are sent there."""

    origin: str
    is_success: bool
    result: Json
    condition: str | None


class Backend(Protocol):
    """A database or a server. Every call raises `NotFound`, `InvalidInput` and `Conflict` as the use case does."""

    #: Whether nobody but the next command works: what is pending then waits for it.
    needs_command: bool

    def progress(self, batch: str) -> Progress:
        """Return how far along a batch is."""

    def batches(self, limit: int) -> list[Json]:
        """Return the newest batches with their throughput."""

    def status(self, batch: str, *, full: bool) -> Json:
        """Return how a batch is doing; `full`: count labels and callbacks even if it is large."""

    def interrupted(self) -> list[tuple[str, str]]:
        """Return batches whose submission was interrupted and can go on, or is under way, each with what to say."""

    def unserved(self) -> dict[str, int]:
        """Return how much waits in each queue that no worker serves."""

    def waiting_steps(self) -> list[str]:
        """Return enrichers whose items wait, since the service behind them refuses everybody, each as text."""

    def troubled(self, limit: int) -> list[tuple[str, str]]:
        """Return endpoints that are failing or disabled, each with its condition as text."""

    def alerts(self, limit: int) -> list[Json]:
        """Return the alerts that fire, newest first."""

    def item(self, name: str, batch: str | None, *, with_payload: bool) -> Json | None:
        """Return an item by its id, task id or key in a batch; None if the name is none of them."""

    def item_or_progress(self, name: str, batch: str | None, *, with_payload: bool) -> Json | Progress:
        """Return an item as `item` does, or else the batch of this name."""

    def dead(self, batch: str | None, limit: int) -> list[Json]:
        """Return the dead items of a batch, or of all, newest first."""

    def dead_causes(self, batch: str | None, wanted: DeadFilter, *, by_definition: bool) -> tuple[list[Json], bool]:
        """Return what dead items died of, the most frequent first, and whether older items are left out."""

    def replay_matching(
        self, batch: str | None, wanted: DeadFilter, *, dry_run: bool, force: bool = False
    ) -> list[Json]:
        """Replay dead items that match; return what came of it for each batch that has any."""

    def replay_items(
        self,
        batch_id: str,
        state: ItemState,
        items: Sequence[str] | None,
        messages: Messages,
        *,
        force: bool = False,
    ) -> int:
        """Make items in a state pending again, all or those with these ids, and return how many."""

    def guards(self, batch: str) -> list[Json]:
        """Return the guards of a batch, by name."""

    def set_guard(self, batch: str, name: str, changes: Mapping[str, Any]) -> Json:
        """Change fields of a guard, or add one, and return it."""

    def remove_guard(self, batch: str, name: str) -> None:
        """Remove a guard."""

    def reset_guard(self, batch: str, name: str) -> None:
        """Let a guard count from nothing."""

    def definitions(self) -> list[Json]:
        """Return what names mean, without tables, by name."""

    def definition(self, name: str, version: str | None) -> Json:
        """Return what a name means, or meant when a batch was submitted with this version."""

    def store_definition(self, definition: Definition, if_version: str | None) -> Json:
        """Let a definition's name mean it; refuse if the name means another version than `if_version` until now.

        Args:
            if_version: None: any; `none`: the name must mean nothing yet.
        """

    def remove_definition(self, name: str) -> None:
        """Let a name mean nothing."""

    def deliveries(self, filters: Mapping[str, Any], limit: int) -> list[Json]:
        """Return the deliveries that match every filter, newest first."""

    def delivery(self, name: str) -> Json:
        """Return a delivery with its attempts, by its id or webhook id."""

    def replay_delivery(self, name: str) -> Json:
        """Send a delivery again now, and return it."""

    def recover(self, chosen: FinalDeliveries, *, dry_run: bool) -> tuple[int, dict[str, int]]:
        """Send deliveries again; return how many, and how many are left out by disabled endpoint."""

    def replay_missing(self, url: str, batch: str, *, batch_events: bool, dry_run: bool) -> int:
        """Send to a URL the events of a batch that were never owed to it, and return how many."""

    def endpoints(self, state: str | None, after: str | None, limit: int) -> list[Json]:
        """Return endpoints by name."""

    def endpoint(self, origin: str) -> Json:
        """Return an endpoint."""

    def known_endpoint(self, origin: str) -> Json | None:
        """Return an endpoint; None if nothing is known of it."""

    def configure_endpoint(self, origin: str, headers: Mapping[str, str | None], changes: Mapping[str, Any]) -> Json:
        """Change settings and headers of an endpoint, and return it."""

    def enable_endpoint(self, origin: str) -> int:
        """Call an endpoint again, and return how many deliveries are pending again."""

    def disable_endpoint(self, origin: str, reason: str | None) -> int:
        """Stop calling an endpoint, and return how many deliveries are paused."""

    def ping_endpoint(self, url: str) -> Ping:
        """Send one signed `webhook.ping` now."""

    def rotate_secret(self, origin: str, *, grace_seconds: float, asymmetric: bool) -> str:
        """Give an endpoint a new secret, and return it."""

    def forget_secret(self, origin: str) -> None:
        """Drop the secrets and headers of an endpoint."""
