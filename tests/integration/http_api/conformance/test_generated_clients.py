"""Clients that are generated from the OpenAPI document, for Python and for TypeScript, do a batch from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.factories import connect
from tests.support.gateway import HANG_SECONDS, ServedApi, serving
from tests.support.npm import node, npm_folder
from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.conformance]

DEFINITION = """
name = "tickets"
input = { text = "text" }
classify = { use = "keywords", rules = [{ label = "billing", any = ["invoice"] }] }
"""
PROGRAM = """
import json, sys
from generated.api.batches import batches_create
from generated.api.dead import dead_replay
from generated.api.results import results_list
from generated.client import AuthenticatedClient
from generated.models.batch_body import BatchBody
from generated.models.replay_dead_body import ReplayDeadBody

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key.removeprefix("Bearer "), httpx_args={"trust_env": False})
items = [{"text": "an invoice"}, {"text": "nothing known"}]
batch = batches_create.sync(client=client, body=BatchBody(definition="tickets", items=items))
states, after = [], 0
while True:
    page = results_list.sync(batch.batch_id, client=client, after=str(after), wait=5.0)
    states += [each.additional_properties["state"] for each in page.data]
    after = page.next_
    if page.is_complete and not page.has_more:
        break
replayed = dead_replay.sync(batch.batch_id, client=client, body=ReplayDeadBody(all_=True))
print(json.dumps({"states": sorted(states), "replayed": replayed.replayed}))
"""
#: One item has no label, for which the definition has no default.
EXPECTED = {"states": ["dead", "succeeded"], "replayed": 1}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "tickets.toml").write_text(DEFINITION)
    with connect(folder, definitions=folder) as client, serving(client) as served:
        yield served


@pytest.fixture(scope="module")
def document(api: ServedApi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_bytes(api.http.get("/openapi.json").content)
    return path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2 * HANG_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_client_in_python(api: ServedApi, document: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("post_hooks: []\n")
    options = ["--path", str(document), "--config", "config.yml", "--meta", "none", "--output-path", "generated"]
    run([sys.executable, "-m", "openapi_python_client", "generate", *options], tmp_path)
    run([sys.executable, "-m", "compileall", "-q", "generated"], tmp_path)
    found = run([sys.executable, "-c", PROGRAM, api.url, api.key()["Authorization"]], tmp_path)
    assert json.loads(found) == EXPECTED


def test_a_client_in_typescript(api: ServedApi, document: Path, tmp_path: Path) -> None:
    packages = npm_folder()
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    source = ROOT / "tests" / "support" / "node" / "generated_client.ts"
    (tmp_path / "generated_client.ts").write_text(source.read_text())
    (tmp_path / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
    # Members with a default may be left out of a request.
    options = ["-o", "api.ts", "--default-non-nullable=false"]
    run(["node_modules/.bin/openapi-typescript", str(document), *options], tmp_path)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable"]
    run(["node_modules/.bin/tsc", *options, "generated_client.ts", "node.d.ts"], tmp_path)
    assert node(tmp_path, "generated_client.js", api.url, api.key()["Authorization"]) == EXPECTED
