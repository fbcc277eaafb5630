"""Metrics over HTTP: everybody on this machine while no key exists, then keys of all tenants only."""

from __future__ import annotations

import pytest

from pipeline.domain.api_key import Scope
from pipeline.monitoring.families import COLLECT_FAMILIES, SQL_FAMILIES
from tests.support.gateway import ServedApi
from tests.support.servers.metrics import samples

pytestmark = pytest.mark.xdist_group("http-metrics")


def test_who_may_see_metrics(api: ServedApi) -> None:
    shown = api.http.get("/metrics")
    assert shown.status_code == 200
    assert shown.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert samples(shown.text).keys() == {family.name for family in (*SQL_FAMILIES, *COLLECT_FAMILIES)} - {
        "pipeline_items"  # There are none.
    }
    operator = api.key(Scope.READ, tenant="*")
    assert api.http.get("/metrics").status_code == 401
    assert api.http.get("/metrics", headers=operator).status_code == 200
    for refused in (api.key(Scope.READ, tenant="acme"), api.key(Scope.SUBMIT, tenant="*")):
        answer = api.http.get("/metrics", headers=refused)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    wanted = "application/openmetrics-text; version=1.0.0"
    shown = api.http.get("/metrics", headers=operator | {"Accept": wanted})
    assert shown.headers["content-type"].startswith(wanted)
    assert shown.text.endswith("# EOF\n")
