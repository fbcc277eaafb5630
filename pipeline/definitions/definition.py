"""A pipeline definition, written in a file or in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    field_validator,
)

from pipeline.definitions.explain_errors import explain_errors
from pipeline.definitions.input_and_retry import Input, Retry
from pipeline.domain.backoff import Backoff
from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog import file_pins, registry
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec, StageSpec
from pipeline.stages.catalog.step import Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner


def _parse_classifier(table: object) -> object:
    return registry.parse_spec(Stage.CLASSIFY, table) if isinstance(table, Mapping) else table


def _parse_enricher(table: object) -> object:
    return registry.parse_spec(Stage.ENRICH, table) if isinstance(table, Mapping) else table


class Definition(BaseModel):
    """The classifier, the enrichers and the retry rules that a batch runs with.

    `Definition(name=…, classify={"use": …}, enrich=[{"use": …}])` takes the same tables and fields as a file. Paths in
    it, such as those of models, are relative to `folder`, which defaults to the current directory. The content of these
    files is pinned by hash at once.

    Raises:
        InvalidDefinition: a field is invalid; the message lists every such field with its value and what was expected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    input: Input = Input()
    classify: Annotated[SerializeAsAny[ClassifySpec], BeforeValidator(_parse_classifier)]
    enrich: tuple[Annotated[SerializeAsAny[EnrichSpec], BeforeValidator(_parse_enricher)], ...] = ()
    retry: Retry = Retry()

    _folder: Path = PrivateAttr()
    _files: dict[str, str] = PrivateAttr()
    _version: str = PrivateAttr()

    def __init__(
        self,
        /,
        *,
        folder: Path | None = None,
        files: Mapping[str, str] | None = None,
        source: str = "definition",
        **tables: Any,
    ) -> None:
        try:
            super().__init__(**tables)
        except ValidationError as error:
            # Not chained: pydantic's own message shows values, which may be secrets.
            raise InvalidDefinition(explain_errors(error, type(self), tables, source)) from None
        self._folder = (folder or Path.cwd()).resolve()
        self._files = self._pin_files() if files is None else dict(files)
        self._version = _version(self.content())

    @field_validator("enrich")
    @classmethod
    def _names_are_unique(cls, specs: tuple[EnrichSpec, ...]) -> tuple[EnrichSpec, ...]:
        names = [registry.answer_name(spec) for spec in specs]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"two enrichers are called {duplicates[0]!r}; set a different `name` in one of them")
        return specs

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
    def stages(self) -> tuple[str, ...]:
        """The stages that an item passes through, in order."""
        return (Stage.CLASSIFY.value, Stage.ENRICH.value) if self.enrich else (Stage.CLASSIFY.value,)

    @property
    def backoff(self) -> Backoff:
        """The delays between attempts."""
        return self.retry.backoff()

    def content(self) -> dict[str, Any]:
        """Return the definition as JSON values, to store it or run it elsewhere; `from_content` is the inverse."""
        # Only fields that were set, so that a default added in a later release does not change the version.
        fields: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        return fields | {"folder": str(self._folder), "files": self.files}

    def runner(self, stage: Stage | str, executor: Executor, steps: tuple[Step, ...] = ()) -> StageRunner:
        """Return the runner of a stage, with models loaded and callables imported.

        This is slow; keep the runner for the life of the process.

        Args:
            steps: the stage's steps, if `self.steps` has already built them.

        Raises:
            InvalidDefinition: a file has changed, a callable cannot be imported, or an extra is not installed.
        """
        stage = Stage(stage)
        steps = steps or self.steps(stage)
        return StageRunner(stage, steps, executor, labels=self.classify.labels if stage is Stage.CLASSIFY else None)

    def steps(self, stage: Stage) -> tuple[Step, ...]:
        """Build the steps of a stage, ready to run. This is the slow part of `runner`.

        Raises:
            InvalidDefinition: as for `runner`.
        """
        return registry.build_steps(stage, self.specs(stage), self._folder, self._files)

    def specs(self, stage: Stage) -> tuple[StageSpec, ...]:
        """Return the parsed tables of a stage's classifier or enrichers."""
        return (self.classify,) if stage is Stage.CLASSIFY else self.enrich

    def _pin_files(self) -> dict[str, str]:
        paths = [path for stage in Stage for spec in self.specs(stage) for path in registry.files(stage, spec)]
        return file_pins.pin_files(self._folder, dict.fromkeys(paths))


def from_content(content: Mapping[str, Any]) -> Definition:
    """Return the definition with this `content()`. Its files are checked when a runner is built, not here.

    Raises:
        InvalidDefinition: this release cannot read it.
    """
    tables = {name: value for name, value in content.items() if name not in ("folder", "files")}
    source = f"stored definition {tables.get('name')!r}"
    return Definition(folder=Path(content.get("folder", ".")), files=content.get("files", {}), source=source, **tables)


def _version(content: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
