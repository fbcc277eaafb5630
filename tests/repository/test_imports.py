"""The contracts in pyproject.toml about who may import whom find what breaks them.

That nothing breaks them is checked once, by `make lint`, which `make check` and `make test` begin with.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT


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

    program = Path(sys.executable).with_name("lint-imports")
    command = [program, "--no-cache", "--no-logo"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

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
