"""pyproject.toml says what the code needs."""

from __future__ import annotations

import ast
import re  # noqa: TID251 - constant patterns
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
EXTRAS = {name: set(needed) for name, needed in PROJECT["optional-dependencies"].items()}
OWN = {"pipeline", "workers", "migrations", "celeryconfig"}
PROVIDERS = packages_distributions()
#: Packages that come with another one, which hands out or takes what they make.
COMPANIONS = {"pydantic-core": "pydantic", "numpy": "scikit-learn", "idna": "email-validator"} | {
    # A namespace of several distributions, which come with the two of the extra `otel`.
    f"opentelemetry-{name}": "opentelemetry-sdk"
    for name in (
        "exporter-http-transport",
        "exporter-otlp-common",
        "exporter-otlp-proto-common",
        "proto",
        "semantic-conventions",
    )
}

#: What is imported with the program itself, whatever its user does.
AT_ONCE = (
    "pipeline",
    "pipeline.cli",
    "pipeline.client.async_client",
    "pipeline.testing",
    "workers.app",
    "workers.embedded",
    "migrations.env",
)
#: What is imported on demand, and the extras that it may count on.
ON_DEMAND = {
    "pipeline.cli.run.flower_server": ("flower",),
    "pipeline.telemetry.otlp": ("otel",),
    "pipeline.stages.classifiers.keywords": ("keywords",),
    "pipeline.stages.classifiers.sklearn": ("sklearn",),
    "pipeline.stages.models.linear_model": ("sklearn",),
    "pipeline.stages.enrichers.language": ("language",),
    "pipeline.stages.enrichers.contacts": ("contacts",),
    "pipeline.stages.enrichers.lookup": ("fuzzy", "parquet"),
    "pipeline.stages.enrichers.http": ("http",),
    "pipeline.sources": ("parquet", "excel", "zstd"),
    "pipeline.files": ("parquet", "excel"),
}


@cache
def imports(module: str, *, deferred: bool) -> frozenset[str]:
    """The modules that a module of ours imports: at once, or also where it defers them."""
    path = file_of(module)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(name for node in (ast.walk(tree) if deferred else tree.body) for name in named(node))


def named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in inner if is_ours(name))
        yield node.module


def reachable(start: Iterable[str], *, deferred: bool, inside: str = "") -> set[str]:
    """Modules of ours that come with `start`."""
    found, open_ = set(start), list(start)
    while open_:
        new = {name for name in imports(open_.pop(), deferred=deferred) if is_ours(name) and name.startswith(inside)}
        open_.extend(new - found)
        found |= new
    return found


def third_party(modules: Iterable[str], *, deferred: bool) -> dict[str, set[str]]:
    """Distributions by the module of ours that imports something of them."""
    found: dict[str, set[str]] = {}
    for module in modules:
        tops = {name.partition(".")[0] for name in imports(module, deferred=deferred)}
        names = {name for top in tops - OWN - sys.stdlib_module_names for name in distributions(top)}
        found[module] = {COMPANIONS.get(name, name) for name in names}
    return found


def distributions(top: str) -> set[str]:
    return {canonical(name) for name in PROVIDERS.get(top, [f"{top} (not installed)"])}


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in OWN and file_of(name).exists()


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def declared(requirements: Iterable[str]) -> set[str]:
    return {canonical(re.split(r"[\[<>=!~; ]", each)[0]) for each in requirements}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def beyond(found: dict[str, set[str]], allowed: set[str]) -> dict[str, set[str]]:
    return {module: names - allowed for module, names in found.items() if names - allowed}


CORE = declared(PROJECT["dependencies"])
#: What whoever wants such a data frame has installed.
OF_USERS = {"pandas", "polars"}


def test_all_covers_every_optional_extra() -> None:
    (everything,) = EXTRAS["all"]
    listed = set(everything.removeprefix("pipeline[").removesuffix("]").split(","))
    assert listed == set(EXTRAS) - {"all", "test", "bench"}
    assert "pipeline[all]" in EXTRAS["test"]


def test_what_every_program_imports_needs_no_extra() -> None:
    modules = reachable(AT_ONCE, deferred=False)
    assert len(modules) > 50
    assert beyond(third_party(modules, deferred=False), CORE) == {}


@pytest.mark.parametrize(("module", "extras"), ON_DEMAND.items(), ids=list(ON_DEMAND))
def test_what_is_imported_on_demand_is_in_the_core_or_in_its_extra(module: str, extras: tuple[str, ...]) -> None:
    modules = reachable([module], deferred=True, inside=module.rpartition(".")[0])
    allowed = CORE | declared(requirement for extra in extras for requirement in EXTRAS[extra])
    assert beyond(third_party(modules, deferred=True), allowed) == {}


def test_whatever_is_imported_anywhere_is_declared_somewhere() -> None:
    paths = [path for name in OWN for path in (ROOT / name).rglob("*.py")]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    optional = declared(each for name, needed in EXTRAS.items() if name not in ("test", "bench") for each in needed)
    assert beyond(third_party(modules, deferred=True), CORE | optional | OF_USERS) == {}


def test_what_is_packed_exists_and_is_what_programs_need() -> None:
    targets = PYPROJECT["tool"]["hatch"]["build"]["targets"]
    assert {name.removesuffix(".py") for name in targets["wheel"]["only-include"]} == OWN
    for name in (*targets["wheel"]["only-include"], *targets["sdist"]["only-include"]):
        assert (ROOT / name).exists(), f"{name} is to be packed and does not exist"
