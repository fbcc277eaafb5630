"""A key of another tenant can name no connection of the operator's, wherever a submission takes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET
from tests.support.uploads import write_definition

#: Where a submission names a URL: members of its body, and how an item has its own.
PLACES = ("exports", "callback_url", "batch_callback_url", "fallback_url", "an item", "a field")


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[ServedApi]:
    write_definition(folder)
    path = folder / "connections.toml"
    lake = f'url = "file://{folder}/out"\n'
    bus = 'url = "redis://127.0.0.1:6379/0"\n'
    path.write_text(
        f'[lake]\n{lake}[lake-of-all]\n{lake}tenants = ["*"]\n[lake-of-acme]\n{lake}tenants = ["acme"]\n'
        f'[bus]\n{bus}[bus-of-all]\n{bus}tenants = ["*"]\n[bus-of-acme]\n{bus}tenants = ["acme"]\n'
    )
    settings = {"definitions": folder, "webhook_secret": SECRET, "connections": path}
    with connect(folder, **settings) as client, serving(client, works=False) as served:
        yield served


def submit(api: ServedApi, tenant: str, place: str, connection: str) -> httpx2.Response:
    """Submit a batch that names a connection in one of the places."""
    url = f"conn://{connection}/x"
    body: dict[str, Any] = {"definition": "tickets", "items": [{"text": "a"}]}
    match place:
        case "exports":
            body["exports"] = [f"{url}/"]
        case "an item":
            body |= {"items_are": "items", "items": [{"payload": {"text": "a"}, "callback_url": url}]}
        case "a field":
            body |= {"callback_url_field": "to", "items": [{"text": "a", "to": url}]}
        case _:
            body[place] = url
    return api.http.post("/v1/batches", headers=api.key(tenant=tenant), json=body)


def said(answer: httpx2.Response) -> str:
    """Return an answer without the number of its request."""
    return json.dumps({**answer.json(), "request_id": None})


@pytest.mark.parametrize("place", PLACES)
def test_another_tenant_may_not_use_a_connection_and_learns_nothing_of_it(api: ServedApi, place: str) -> None:
    prefix = "lake" if place == "exports" else "bus"
    foreign, unknown = submit(api, "other", place, prefix), submit(api, "other", place, "nowhere")
    assert foreign.status_code in (400, 403, 404, 422), foreign.text
    # What there is and what there is not are told apart by nothing.
    assert foreign.status_code == unknown.status_code
    by_name = said(foreign).replace(f"'{prefix}'", "'nowhere'")
    assert by_name.replace(f"conn://{prefix}", "conn://nowhere") == said(unknown)
    assert "-of-" not in foreign.text + unknown.text
    # Of another tenant's, and of none that is much like it.
    assert submit(api, "other", place, f"{prefix}-of-acme").status_code == foreign.status_code
    assert submit(api, "other", place, f"{prefix}-of-al").status_code == foreign.status_code


@pytest.mark.parametrize("place", PLACES)
def test_who_may_use_a_connection_can(api: ServedApi, place: str) -> None:
    prefix = "lake" if place == "exports" else "bus"
    for tenant, name in (("default", prefix), ("other", f"{prefix}-of-all"), ("acme", f"{prefix}-of-acme")):
        found = submit(api, tenant, place, name)
        assert found.status_code == 201, found.text
    assert submit(api, "default", place, f"{prefix}-of-acme").status_code in (400, 403, 404, 422)
