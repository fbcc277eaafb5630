"""What contributors read and what builds run agree with the repository."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

GITHUB = ROOT / ".github"
CHECKED = {
    GITHUB / "workflows" / "test.yml": "vendor.github-workflows",
    GITHUB / "ISSUE_TEMPLATE" / "bug.yml": "vendor.github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "feature.yml": "vendor.github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
}


@pytest.mark.parametrize(("file", "schema"), CHECKED.items(), ids=lambda each: getattr(each, "name", None))
def test_workflows_and_forms_follow_their_schemas(file: Path, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_build_runs_on_every_python_that_make_looks_for() -> None:
    workflow = yaml.safe_load((GITHUB / "workflows" / "test.yml").read_text(encoding="utf-8"))
    built = workflow["jobs"]["everything"]["strategy"]["matrix"]["python"]
    sought = re.findall(r"python(3\.\d+)", (ROOT / "Makefile").read_text(encoding="utf-8").partition("PYTHON ?=")[0])
    assert set(built) == set(sought)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_paths_and_targets_named_for_contributors_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:pipeline|workers|tests|migrations|docs)/[a-z0-9_/.]*)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", text)) <= targets
