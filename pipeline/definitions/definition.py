"""A pipeline definition, as a file or Python states it."""

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

from pipeline.definitions.explain_errors import explain
from pipeline.definitions.input_and_retry import Input, Retry
from pipeline.domain.backoff import Backoff
from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog import file_pins, registry
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec, StageSpec
from pipeline.stages.catalog.step import Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner


def _classifier(table: object) -> object:
    return registry.parse(Stage.CLASSIFY, table) if isinstance(table, Mapping) else table


def _enricher(table: object) -> object:
    return registry.parse(Stage.ENRICH, table) if isinstance(table, Mapping) else table


class Definition(BaseModel):
    """Which classifier, which enrichers and which rules a batch is run with.

    `Definition(name=…, classify={"use": …}, enrich=[{"use": …}])`, with the tables and fields that a file has. Files it
    names, such as models, are looked for in `folder` (default: the current directory) and pinned by what they hold now.

    Raises:
        InvalidDefinition: every field that cannot be used, with its value and what was expected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200)
    input: Input = Input()
    classify: Annotated[SerializeAsAny[ClassifySpec], BeforeValidator(_classifier)]
    enrich: tuple[Annotated[SerializeAsAny[EnrichSpec], BeforeValidator(_enricher)], ...] = ()
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
            # Not chained: pydantic's own text repeats values, which may be secrets.
            raise InvalidDefinition(explain(error, type(self), tables, source)) from None
        self._folder = (folder or Path.cwd()).resolve()
        self._files = self._pin() if files is None else dict(files)
        self._version = _version(self.content())

    @field_validator("enrich")
    @classmethod
    def _names_are_unique(cls, specs: tuple[EnrichSpec, ...]) -> tuple[EnrichSpec, ...]:
        names = [registry.answer_name(spec) for spec in specs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two enrichers are called {twice[0]!r}; set a different `name` in one of them")
        return specs

    @property
    def folder(self) -> Path:
        """Where the files and modules that it names are, absolute."""
        return self._folder

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of each file that it names, by absolute path, as pinned when it was read."""
        return dict(self._files)

    @property
    def version(self) -> str:
        """16 hexadecimal digits that change with the content, pinned files included."""
        return self._version

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that an item passes, in order."""
        return (Stage.CLASSIFY.value, Stage.ENRICH.value) if self.enrich else (Stage.CLASSIFY.value,)

    @property
    def backoff(self) -> Backoff:
        """Delays between attempts."""
        return self.retry.backoff()

    def content(self) -> dict[str, Any]:
        """Return what is needed to run it elsewhere, as JSON; `from_content` is the inverse."""
        # Only what was stated: a default added by a later release changes no version.
        stated: dict[str, Any] = self.model_dump(mode="json", exclude_unset=True)
        return stated | {"folder": str(self._folder), "files": self.files}

    def runner(self, stage: Stage | str, executor: Executor, steps: tuple[Step, ...] = ()) -> StageRunner:
        """Return the runner of a stage: models loaded, callables imported. Slow; keep it for the process's life.

        Args:
            steps: what `steps` returned, where it was asked before.

        Raises:
            InvalidDefinition: a file has changed, a callable cannot be imported, or an extra is not installed.
        """
        stage = Stage(stage)
        steps = steps or self.steps(stage)
        return StageRunner(stage, steps, executor, labels=self.classify.labels if stage is Stage.CLASSIFY else None)

    def steps(self, stage: Stage) -> tuple[Step, ...]:
        """Return the steps of a stage, ready to run, which is the slow part of `runner`.

        Raises:
            InvalidDefinition: as `runner`.
        """
        return registry.build(stage, self.specs(stage), self._folder, self._files)

    def specs(self, stage: Stage) -> tuple[StageSpec, ...]:
        """Return what is stated about a stage's classifier or enrichers."""
        return (self.classify,) if stage is Stage.CLASSIFY else self.enrich

    def _pin(self) -> dict[str, str]:
        named = [registry.files(stage, spec) for stage in Stage for spec in self.specs(stage)]
        return file_pins.pin(self._folder, dict.fromkeys(name for names in named for name in names))


def from_content(content: Mapping[str, Any]) -> Definition:
    """Return the definition whose `content()` this is; files are checked when a runner is made, not here.

    Raises:
        InvalidDefinition: this release cannot read it.
    """
    tables = {name: value for name, value in content.items() if name not in ("folder", "files")}
    source = f"stored definition {tables.get('name')!r}"
    return Definition(folder=Path(content.get("folder", ".")), files=content.get("files", {}), source=source, **tables)


def _version(content: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
