"""A pipeline definition, written in a file or in Python."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Required, TypedDict, Unpack

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    field_validator,
)

from pipeline.definitions.explain_errors import explain_errors
from pipeline.definitions.input_and_retry import InputSpec, RetrySpec
from pipeline.domain.alerts.guard import Guard, guard_json, merged, read_guard
from pipeline.domain.bounds import shown
from pipeline.domain.item import Stage
from pipeline.domain.payload import find_problem
from pipeline.errors import InvalidDefinition, InvalidInput
from pipeline.stages.catalog import file_pins, registry
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec, StageSpec


def _parse_classifier(table: object) -> object:
    return registry.parse_spec(Stage.CLASSIFY, table) if isinstance(table, Mapping) else table


def _parse_enricher(table: object) -> object:
    return registry.parse_spec(Stage.ENRICH, table) if isinstance(table, Mapping) else table


def _parse_guard(table: object) -> object:
    try:
        return read_guard(table) if isinstance(table, Mapping) else table
    except InvalidInput as error:
        raise ValueError(str(error)) from None


class DefinitionTables(TypedDict, total=False):
    """The tables and fields of a definition, as in a file."""

    #: The definition's name.
    name: Required[str]
    #: `[classify]`: `use` and the classifier's own fields.
    classify: Required[Mapping[str, Any] | ClassifySpec]
    #: `[[enrich]]`: `use`, `name` and the enricher's own fields, for each enricher.
    enrich: Sequence[Mapping[str, Any] | EnrichSpec]
    #: `[input]`: which fields of a payload hold the key and the text.
    input: Mapping[str, Any] | InputSpec
    #: `[retry]`: how often an item is attempted, and how long to wait in between.
    retry: Mapping[str, Any] | RetrySpec
    #: `[[guard]]`: what failures of a batch are tolerated, and what happens beyond.
    guard: Sequence[Mapping[str, Any] | Guard]


class Definition(BaseModel):
    """The classifier, the enrichers and the retry rules that a batch runs with.

    Takes the same tables and fields as a definition file::

        Definition(name="tickets", classify={"use": "my_module:classify"}, enrich=[{"use": "language"}])

    Args:
        folder: The folder that modules and paths in the definition, such as those of models, are relative to; defaults
            to the current directory. The content of the files is pinned by hash at once.
        tables: `name`, `classify`, `enrich`, `input`, `retry` and `guard`; see `DefinitionTables`.

    Raises:
        InvalidDefinition: A field is invalid. The message lists every such field with its value and what was expected.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    input: InputSpec = InputSpec()
    classify: Annotated[SerializeAsAny[ClassifySpec], BeforeValidator(_parse_classifier)]
    enrich: tuple[Annotated[SerializeAsAny[EnrichSpec], BeforeValidator(_parse_enricher)], ...] = ()
    retry: RetrySpec = RetrySpec()
    guard: tuple[Annotated[Guard, BeforeValidator(_parse_guard), PlainSerializer(guard_json)], ...] = ()

    _folder: Path = PrivateAttr()
    _files: dict[str, str] = PrivateAttr()
    _version: str = PrivateAttr()

    def __init__(self, /, *, folder: str | Path | None = None, **tables: Unpack[DefinitionTables]) -> None:
        if not isinstance(folder, str | Path | None):
            raise InvalidDefinition(f"definition: folder is {shown(folder)}; expected a path")
        self._read(tables, Path.cwd() if folder is None else Path(folder), None, "definition")

    def _read(self, tables: Mapping[str, Any], folder: Path, files: Mapping[str, str] | None, source: str) -> None:
        try:
            super().__init__(**tables)
        except ValidationError as error:
            # Not chained: pydantic's own message shows values, which may be secrets.
            raise InvalidDefinition(explain_errors(error, type(self), tables, source)) from None
        self._folder = _resolved(folder, source)
        self._files = {}
        # Before anything is done with it: it is stored as JSON.
        problem = find_problem(to_content(self), max_bytes=sys.maxsize)
        if problem is not None:
            raise InvalidDefinition(f"{source}: {problem.removeprefix('payload.')}")
        self._files = _pin_files(self) if files is None else dict(files)
        self._version = _version(to_content(self))

    @field_validator("enrich")
    @classmethod
    def _names_are_unique(cls, specs: tuple[EnrichSpec, ...]) -> tuple[EnrichSpec, ...]:
        names = [registry.answer_name(spec) for spec in specs]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"two enrichers are called {duplicates[0]!r}; set a different `name` in one of them")
        return specs

    @field_validator("guard")
    @classmethod
    def _guards_have_names(cls, guards: tuple[Guard, ...]) -> tuple[Guard, ...]:
        try:
            return merged((), guards)
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @property
    def folder(self) -> Path:
        """The absolute path of the folder that its files and modules are relative to."""
        return self._folder

    @property
    def files(self) -> dict[str, str]:
        """The SHA-256 of each file it uses, by absolute path, as of when it was read."""
        return dict(self._files)

    @property
    def version(self) -> str:
        """16 hexadecimal digits, a hash of the content including the pinned files."""
        return self._version

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that an item passes through, in order."""
        return (Stage.CLASSIFY, Stage.ENRICH) if self.enrich else (Stage.CLASSIFY,)


def from_tables(
    tables: Mapping[str, Any], *, folder: Path, source: str, files: Mapping[str, str] | None = None
) -> Definition:
    """Validate the tables of a definition and return it.

    Args:
        folder: the folder that modules and paths in the definition are relative to.
        source: the name of the definition in messages, such as the path of its file.
        files: the SHA-256 of each file that it uses, by absolute path; by default, their current content is pinned.

    Raises:
        InvalidDefinition: a field is invalid.
    """
    definition = Definition.__new__(Definition)
    definition._read(tables, folder, files, source)
    return definition


def to_content(definition: Definition) -> dict[str, Any]:
    """Return a definition as JSON values, to store it or run it elsewhere; `from_content` is the inverse."""
    # Only fields that were set, so that a default added in a later release does not change the version.
    fields: dict[str, Any] = definition.model_dump(mode="json", exclude_unset=True)
    return fields | {"folder": str(definition.folder), "files": definition.files}


def from_content(content: Mapping[str, Any]) -> Definition:
    """Return the definition with this content. Its files are checked when a runner is built, not here.

    Raises:
        InvalidDefinition: this release cannot read it.
    """
    tables = {name: value for name, value in content.items() if name not in ("folder", "files")}
    source = f"stored definition {tables.get('name')!r}"
    return from_tables(tables, folder=Path(content.get("folder", ".")), source=source, files=content.get("files", {}))


def with_input(definition: Definition, changes: Mapping[str, Any]) -> Definition:
    """Return a definition with other fields in its `[input]` table.

    Args:
        changes: the fields by their names; the others stay.

    Raises:
        InvalidDefinition: they do not fit.
    """
    tables = {name: value for name, value in to_content(definition).items() if name not in ("folder", "files")}
    tables["input"] = {**tables.get("input", {}), **changes}
    return from_tables(tables, folder=definition.folder, source="[input] with its options", files=definition.files)


def stage_specs(definition: Definition, stage: Stage) -> tuple[StageSpec, ...]:
    """Return the parsed tables of a stage's classifier or enrichers."""
    return (definition.classify,) if stage is Stage.CLASSIFY else definition.enrich


def _resolved(folder: Path, source: str) -> Path:
    try:
        return folder.resolve()
    except (ValueError, OSError):
        raise InvalidDefinition(f"{source}: folder is {shown(str(folder))}, which cannot be a path") from None


def _pin_files(definition: Definition) -> dict[str, str]:
    paths = [path for stage in Stage for spec in stage_specs(definition, stage) for path in registry.files(stage, spec)]
    return file_pins.pin_files(definition.folder, dict.fromkeys(paths))


def _version(content: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
