"""The contracts in pyproject.toml about who may import whom."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True, check=False)


def test_every_import_points_the_way_that_the_contracts_say() -> None:
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_imports_the_other_way_and_modules_without_a_layer_are_reported(tmp_path: Path) -> None:
    for folder in ("pipeline", "workers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    breaches = {
        "pipeline/domain/item.py": "import sqlalchemy\nimport pipeline.batches.sql.items\n",
        "pipeline/batches/control.py": "import celery\n",
        "pipeline/stages/catalog/spec.py": "import pipeline.batches.submit\n",
        "workers/tasks/items.py": "import pipeline.batches.sql.items\n",
        "pipeline/unplaced.py": "",
    }
    for path, line in breaches.items():
        with open(tmp_path / path, "a", encoding="utf-8") as module:
            module.write(line)

    checked = lint(tmp_path)

    assert checked.returncode == 1
    assert " 0 broken" not in checked.stdout
    for reported in (
        "pipeline.domain.item -> sqlalchemy",
        "pipeline.domain.item -> pipeline.batches.sql.items",
        "pipeline.batches.control -> celery",
        "pipeline.stages.catalog.spec -> pipeline.batches.submit",
        "workers.tasks.items -> pipeline.batches.sql.items",
        "unplaced",
    ):
        assert reported in checked.stdout
