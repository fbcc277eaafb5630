"""The public names of the library."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import pipeline
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "python.md"


def test_all_lists_exactly_the_public_names_in_order() -> None:
    found = {name for name, value in vars(pipeline).items() if not isinstance(value, ModuleType)}
    public = {name for name in found | set(pipeline._LAZY) if not name.startswith("_")}
    assert public - {"TYPE_CHECKING", "Any", "annotations"} == set(pipeline.__all__)
    assert sorted(set(pipeline.__all__)) == pipeline.__all__


@pytest.mark.parametrize("name", pipeline.__all__)
def test_each_public_name_resolves_has_a_docstring_and_stands_in_the_reference(name: str) -> None:
    assert inspect.getdoc(getattr(pipeline, name)), f"pipeline.{name} has no docstring"
    assert f"`{name}" in PAGE.read_text(encoding="utf-8"), f"pipeline.{name} is not in {PAGE.name}"


@pytest.mark.parametrize("owner", ["Client", "Batch", "Delivery", "Endpoint", "Result"])
def test_each_public_method_stands_in_the_reference(owner: str) -> None:
    methods = [name for name in vars(getattr(pipeline, owner)) if not name.startswith("_")]
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in methods if f"`{name}" not in page] == []


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = pipeline.conect


def test_a_classifiers_module_imports_pipeline_without_database_or_celery() -> None:
    program = (
        "import sys, pipeline; pipeline.Permanent, pipeline.batched\n"
        "heavy = {'celery', 'kombu', 'sqlalchemy', 'httptools', 'click', 'sklearn', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
