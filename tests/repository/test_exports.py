"""The public names of the library."""

from __future__ import annotations

import ast
import inspect
import json
import re  # noqa: TID251 - constant patterns
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import is_typeddict

import pytest

import pipeline
import pipeline.cli
import pipeline.testing
import workers.embedded
from pipeline.client.connect import SettingOverrides
from pipeline.client.endpoint import EndpointChanges, EndpointSettings
from pipeline.delivery.rules.endpoint_settings import SETTINGS
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import PipelineError, StageError
from pipeline.settings import Settings
from tests.support.paths import ROOT
from tests.support.public_types import public_values, reached_from

PAGE = ROOT / "docs" / "reference" / "python.md"
MODULES = [pipeline, pipeline.testing]
PUBLIC = [(module, name) for module in MODULES for name in module.__all__]
#: Made by other objects, never by their constructors.
HANDLES = frozenset(
    {
        pipeline.AsyncBatch,
        pipeline.AsyncDelivery,
        pipeline.AsyncEndpoint,
        pipeline.Batch,
        pipeline.Client,
        pipeline.Delivery,
        pipeline.Endpoint,
        pipeline.RemoteBatch,
        pipeline.RemoteClient,
        pipeline.RemoteDelivery,
        pipeline.RemoteEndpoint,
    }
)
EVERYTHING = public_values(pipeline) | public_values(pipeline.testing)
CLASSES = {name: value for name, value in EVERYTHING.items() if isinstance(value, type)}
REFERENCE = PAGE.read_text(encoding="utf-8")
#: Functions, and classes that users make by calling them, whose parameters are not fields.
SHOWN = (
    *(name for name, value in EVERYTHING.items() if inspect.isfunction(value)),
    "AsyncClient",
    "Definition",
    "WebhookReceiver",
)


def methods(owner: object) -> list[str]:
    return [name for name, value in vars(owner).items() if inspect.isfunction(value) and not name.startswith("_")]


def is_ours(member: object) -> bool:
    """Whether a member of a class is a method or property that pipeline defines."""
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return inspect.isfunction(function) and function.__module__.startswith("pipeline")


def fields_of(kind: type) -> list[str]:
    """The public fields of a class that holds data; those of a twin are with the other."""
    if kind in (pipeline.AsyncDelivery, pipeline.RemoteDelivery):
        return []
    if is_dataclass(kind):
        return [field.name for field in fields(kind) if not field.name.startswith("_")]
    return list(kind.__annotations__) if is_typeddict(kind) else []


def plain(parameter: inspect.Parameter) -> tuple[str, bool]:
    """A parameter as the reference has it, and whether it is given by name only."""
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    return f"{stars}{parameter.name}{default_of(parameter)}", parameter.kind is parameter.KEYWORD_ONLY


def default_of(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return ""
    if parameter.default == pipeline.testing.TEST_SECRET:
        return "=TEST_SECRET"
    text = json.dumps(parameter.default)
    return "=" + {"null": "None", "true": "True", "false": "False", "[]": "()"}.get(text, text)


def signature(function: Callable[..., object]) -> str:
    """The parameters of a function as the reference has them."""
    parameters = [plain(each) for each in inspect.signature(function).parameters.values() if each.name != "self"]
    named = [each for each, is_named in parameters if is_named]
    texts = [each for each, _ in parameters]
    return ", ".join([*texts[: texts.index(named[0])], "*", *texts[texts.index(named[0]) :]] if named else texts)


def subclasses(kind: type[Exception]) -> set[type[Exception]]:
    children: list[type[Exception]] = kind.__subclasses__()
    return {each for child in children for each in (child, *subclasses(child))}


#: Errors of the library; a test's own may be derived from them as well.
# Without those that only other parts of pipeline see.
ERRORS = {
    each
    for base in (PipelineError, StageError)
    for each in (base, *subclasses(base))
    if each.__module__.startswith("pipeline.")
    and each.__module__
    not in (
        "pipeline.stages.run.failure",
        "pipeline.batches.part_errors",
        "pipeline.cli.run.follow_batch",
        "pipeline.delivery.targets.protocols",
        "pipeline.intakes.sources.source",
    )
}


def test_all_lists_exactly_the_public_names_in_order() -> None:
    found = {name for name, value in vars(pipeline).items() if not isinstance(value, ModuleType)}
    public = {name for name in found | set(pipeline._LAZY) if not name.startswith("_")}
    assert public - {"TYPE_CHECKING", "annotations"} == set(pipeline.__all__)
    assert sorted(set(pipeline.__all__)) == pipeline.__all__


def test_type_checkers_find_each_name_where_it_is_imported_from() -> None:
    tree = ast.parse(Path(str(pipeline.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == pipeline._LAZY


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda each: getattr(each, "__name__", each))
def test_each_public_name_resolves_has_a_docstring_and_stands_in_the_reference(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    if not isinstance(value, str) and value is not pipeline.Hook:
        assert inspect.getdoc(value), f"{name} has no docstring"
    assert re.search(rf"[`.#] ?{name}\b", REFERENCE), f"{name} is not in {PAGE.name}"


@pytest.mark.parametrize("name", CLASSES)
def test_each_member_of_a_public_class_has_a_docstring_and_stands_in_the_reference(name: str) -> None:
    members = {
        member: value
        for owner in CLASSES[name].__mro__
        for member, value in vars(owner).items()
        if not member.startswith("_") and is_ours(value)
    }
    assert [member for member, value in members.items() if not inspect.getdoc(value)] == []
    assert [member for member in members if not re.search(rf"[`.]{member}\b", REFERENCE)] == []


@pytest.mark.parametrize("name", [*SHOWN, "Client", "Batch", "Endpoint", "Delivery"])
def test_the_reference_shows_each_parameter_and_its_default(name: str) -> None:
    value = EVERYTHING[name]
    made = value.__init__ if isinstance(value, type) else value  # type: ignore[misc] - pydantic states another signature
    functions = {name: made} if name in SHOWN else {each: getattr(value, each) for each in methods(value)}
    wanted = [f"{each}({signature(function)})" for each, function in functions.items()]
    shown = " ".join(REFERENCE.split())
    assert [each for each in wanted if each not in shown] == []


@pytest.mark.parametrize("name", [name for name, value in CLASSES.items() if fields_of(value)])
def test_the_reference_has_each_field_where_its_class_is_explained(name: str) -> None:
    text = REFERENCE.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
    assert text, f"there is no heading {name}"
    assert [field for field in fields_of(CLASSES[name]) if f"`{field}`" not in text] == []


@pytest.mark.parametrize("name", EVERYTHING)
def test_every_type_that_a_public_name_leads_to_is_public(name: str) -> None:
    public = {value for value in EVERYTHING.values() if isinstance(value, type)}
    hidden = {where: found for where, found in reached_from(name, EVERYTHING[name], made_elsewhere=HANDLES)}
    assert {where: found.__name__ for where, found in hidden.items() if found not in public} == {}


def test_every_error_is_public_and_has_a_code_of_its_own() -> None:
    assert {each.__name__ for each in ERRORS} <= set(pipeline.__all__)
    assert pipeline.cli
    assert workers.embedded
    codes = {each.__name__: vars(each).get("code") for each in ERRORS}
    assert all(isinstance(code, str) and code.isidentifier() and code.islower() for code in codes.values()), codes
    assert len(set(codes.values())) == len(codes)


def test_typed_keywords_name_every_setting() -> None:
    of_servers = {"flower_auth", "flower_broker_api", "max_upload_bytes"}
    arguments = {"database_url", "broker_url", "definitions", "server_url", "api_key"}
    assert set(SettingOverrides.__annotations__) == set(Settings.model_fields) - of_servers - arguments
    assert set(EndpointChanges.__annotations__) == set(SETTINGS) == set(EndpointSettings.__annotations__)
    schedules = f"Literal[{', '.join(map(repr, SCHEDULES))}] | None".replace("'", '"')
    assert inspect.get_annotations(pipeline.Client.submit)["callback_schedule"].replace("'", '"') == schedules
    assert EndpointChanges.__annotations__["schedule"].__forward_arg__.replace("'", '"') == schedules


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = pipeline.conect  # type: ignore[attr-defined] - what is refused
    assert set(pipeline.__all__) <= set(dir(pipeline))


def test_a_classifiers_module_imports_pipeline_without_database_or_celery() -> None:
    program = (
        "import sys, pipeline; pipeline.Permanent, pipeline.batched, pipeline.WorkItem\n"
        "heavy = {'celery', 'kombu', 'sqlalchemy', 'httptools', 'click', 'sklearn', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
