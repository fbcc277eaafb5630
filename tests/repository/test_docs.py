"""The documents say what the code does: states, tables, events, fields, links."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from enum import StrEnum
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

import pipeline
from pipeline.batches.parts import MAX_PART_BYTES, MAX_PART_ITEMS
from pipeline.database.tables import metadata
from pipeline.definitions.input_and_retry import InputSpec, RetrySpec
from pipeline.delivery.rules import failure_text
from pipeline.delivery.rules.breaker import BreakerState
from pipeline.delivery.rules.delivery import EXPIRED, OVERLOAD_PAUSE, TIMEOUT, Answer, DeliveryState, DisabledReason
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.delivery.webhook.options import SenderOptions
from pipeline.domain.batch import BatchState
from pipeline.domain.event import EventType
from pipeline.domain.item import ItemState, Stage
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import PipelineError, StageError
from pipeline.http_api.call import MAX_JSON_BYTES
from pipeline.http_api.rate_limits import MAX_FAILURES
from pipeline.http_api.server.limits import KIB, MIB, ServerLimits
from pipeline.http_api.uploads.body_format import FORMATS
from pipeline.stages.catalog import registry
from pipeline.stages.catalog.spec import ClassifySpec, EnrichSpec
from pipeline.stages.classifiers.rule import Rule
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
#: Folders of documents; the tutorial is a page beside them.
KINDS = ("how-to", "reference", "explanation")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "examples").glob("*.md")), *sorted(DOCS.rglob("*.md"))]
BUILT_IN = [(stage, name) for stage in Stage for name in registry.builtin_names(stage)]


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next of its level or above."""
    text = (DOCS / page).read_text(encoding="utf-8")
    level = heading.index(" ")
    start = text.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(rf"^#{{1,{level}}} ", text[start:], re.MULTILINE)
    return text[start : start + end.start() if end else len(text)]


def rows(text: str) -> dict[str, str]:
    """First and second column of the tables in a text, whose first cell is code."""
    return dict(re.findall(r"^\| `([^|`]+)` \| ([^|]*) \|", text, re.MULTILINE))


#: What the page about state machines says under each heading: the states in its table, and those it draws, if it does.
STATE_MACHINES = [
    ("## Item", "state", ItemState, True),
    ("## Batch", "state", BatchState, True),
    ("## Delivery", "state", DeliveryState, True),
    ("## Endpoint", "breaker", BreakerState, True),
    ("## Endpoint", "state", EndpointState, False),
]


@pytest.mark.parametrize(("heading", "column", "states", "is_drawn"), STATE_MACHINES)
def test_every_state_is_explained_and_drawn(heading: str, column: str, states: type[StrEnum], is_drawn: bool) -> None:
    text = section("explanation/state-machines.md", heading)
    table = rows(text[text.index(f"\n| {column} |") :].split("\n\n")[0])
    assert list(table) == [state.value for state in states]
    arrows = re.findall(r"^    (\S+) --> (\S+?)(?:: .+)?$", text, re.MULTILINE)
    if is_drawn:
        assert {state for arrow in arrows for state in arrow} - {"[*]"} == {*states}


@pytest.mark.parametrize(("heading", "states"), [("## Item", ItemState), ("## Batch", BatchState)])
def test_a_state_without_a_way_back_is_final(heading: str, states: type[StrEnum]) -> None:
    text = section("explanation/state-machines.md", heading)
    arrows = re.findall(r"^    (\S+) --> (\S+?): ", text, re.MULTILINE)
    left = {source for source, target in arrows if target in [*states]}
    assert {state for state, meaning in rows(text).items() if "Final." in meaning} == {*states} - left


def test_every_table_of_the_database_is_explained() -> None:
    assert set(rows((DOCS / "reference" / "database.md").read_text(encoding="utf-8"))) == set(metadata.tables)


def test_every_event_type_is_explained() -> None:
    assert set(rows(section("reference/callbacks.md", "## Events"))) == {kind.value for kind in EventType}


def test_the_retry_schedules_of_callbacks_are_those_in_the_code() -> None:
    text = section("reference/callbacks.md", "## Retry schedules")
    table = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    assert [int(attempt) for attempt, _, _ in table] == list(range(2, len(table) + 2))
    names = re.findall(r"`(\w+)`: delay", text)
    assert names == list(SCHEDULES)
    for column, (name, schedule) in enumerate(SCHEDULES.items(), 1):
        stated = [_seconds(cell) for row in table if (cell := row[column]) != "–"]
        assert stated == [delay.total_seconds() for delay in schedule.delays], name
        days = schedule.horizon.days
        attempts = re.search(
            rf"`{name}` gives up after (\d+) attempts.*?(\d+) days? after the\s+event", text, re.DOTALL
        )
        assert attempts
        assert (int(attempts[1]), int(attempts[2])) == (len(schedule.delays) + 1, days)


def test_what_an_overloaded_receiver_is_spared_is_what_the_code_says() -> None:
    text = " ".join(section("reference/callbacks.md", "## Retry schedules").split())
    assert "After 502, 504 or a timeout the delay is at least one minute." in text
    overloads = [status for status in range(400, 600) if Answer(status).is_overload]
    assert (overloads, Answer(error=TIMEOUT).is_overload, OVERLOAD_PAUSE.total_seconds()) == ([502, 504], True, 60)


def test_the_limits_of_callbacks_are_those_in_the_code() -> None:
    text = " ".join(section("reference/callbacks.md", "## Limits of a request").split())
    options = SenderOptions()
    client = options.client
    assert f"A request has {client.deadline_seconds:g} s in all" in text
    assert f"name lookup, connection and TLS together have {client.connect_seconds:g} s" in text
    assert (
        f"One endpoint gets up to {options.per_endpoint} requests at once; a sender has up to {options.total}" in text
    )
    assert f"for {client.idle_seconds:g} s when idle and reused for up to {client.connection_seconds:g} s" in text
    assert f"no response within {client.deadline_seconds:g} s" in section(
        "reference/callbacks.md", "## What a response means"
    )


def test_every_failure_code_of_a_callback_is_explained() -> None:
    codes = {code for code in failure_text._MEANINGS if not code.startswith("http_")} | {EXPIRED}
    assert set(rows(section("reference/callbacks.md", "## Failure codes"))) == codes


def test_every_state_of_an_endpoint_and_every_reason_to_disable_it_is_explained() -> None:
    states = list(rows(section("reference/callbacks.md", "### States of an endpoint")))
    assert states == [state.value for state in reversed(EndpointState)]
    reasons = list(rows(section("reference/callbacks.md", "### Reasons for `disabled`")))
    assert reasons == [reason.value for reason in DisabledReason]


@pytest.mark.parametrize(("stage", "name"), BUILT_IN)
def test_every_field_of_a_built_in_is_documented_with_its_default(stage: Stage, name: str) -> None:
    spec = import_module(f"pipeline.stages.{'classifiers' if stage is Stage.CLASSIFY else 'enrichers'}.{name}").Spec
    base = ClassifySpec if stage is Stage.CLASSIFY else EnrichSpec
    own = {field for field in spec.model_fields if _is_own(spec, base, field)}
    heading = f"## {'Classifier' if stage is Stage.CLASSIFY else 'Enricher'} `{name}`"
    documented = rows(section("reference/definitions.md", heading).partition("\nA rule matches")[0])
    assert set(documented) == own
    _check_defaults(spec, documented)


def test_every_field_of_rules_and_common_tables_is_documented_with_its_default() -> None:
    keywords = section("reference/definitions.md", "## Classifier `keywords`").partition("\nA rule matches")[2]
    assert set(rows(keywords)) == set(Rule.model_fields)
    for heading, base in (("### `[classify]`", ClassifySpec), ("### `[[enrich]]`", EnrichSpec)):
        documented = rows(section("reference/definitions.md", heading))
        assert set(documented) == set(base.model_fields)
        _check_defaults(base, documented)


@pytest.mark.parametrize(("table", "model"), [("[input]", InputSpec), ("[retry]", RetrySpec)])
def test_every_field_of_a_small_table_is_documented_with_its_default(table: str, model: type[BaseModel]) -> None:
    text = section("reference/definitions.md", "## Tables")
    documented = dict(re.findall(rf"^\| `{re.escape(table)}` `(\w+)` \| ([^|]*) \|", text, re.MULTILINE))
    assert set(documented) == set(model.model_fields)
    _check_defaults(model, documented)


def test_every_error_of_the_library_is_in_the_reference() -> None:
    documented = rows(section("reference/python.md", "## Errors"))
    public = {kind.__name__: kind.code for kind in _errors()}
    assert documented == {name: f"`{code}`" for name, code in public.items()}


def test_the_exit_code_of_every_public_error_is_documented() -> None:
    table = section("reference/exit-codes.md", "## Exit codes and exceptions")
    documented = {
        name: int(code)
        for names, code in re.findall(r"^\| (`.+) \| (\d+) \|$", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    public = {kind for kind in _errors() if issubclass(kind, PipelineError)}
    assert documented == {kind.__name__: kind.exit_code for kind in public}


def test_words_of_the_glossary_are_in_order() -> None:
    words = re.findall(
        r"^\| ([a-z_ -]+) \|", (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )[1:]
    assert len(words) > 20
    assert words == sorted(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    found = [(page.parent / path if path else page, anchor) for path, anchor in links]
    assert [(path.name, anchor) for path, anchor in found if anchor not in _anchors(path)] == []


#: Generated, or written by hand in a form of its own.
WITHOUT_READERS = ("reference/cli.md",)
PAGES_OF_A_KIND = [page.relative_to(DOCS) for kind in KINDS for page in sorted((DOCS / kind).glob("*.md"))]


@pytest.mark.parametrize("page", PAGES_OF_A_KIND, ids=str)
def test_every_page_is_on_the_map_and_says_who_it_is_for(page: Path) -> None:
    assert f"({page.as_posix()})" in (DOCS / "README.md").read_text(encoding="utf-8")
    first = (DOCS / page).read_text(encoding="utf-8").split("\n\n")[1]
    assert first.startswith("For ") or page.as_posix() in WITHOUT_READERS


def test_the_layers_named_in_the_architecture_are_the_folders() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.name for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").exists()}
    assert {name for name in folders if f"`{name}`" not in text} == set()
    for path in re.findall(r"(?<![\w/])[a-z_]+/[a-z_/]+\.py", text):
        assert (ROOT / path).exists() or (ROOT / "pipeline" / path).exists(), path


def _anchors(page: Path) -> set[str]:
    """Return what links to the headings of a page are called, as GitHub and most renderers do."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _is_own(spec: type[BaseModel], base: type[BaseModel], field: str) -> bool:
    if field not in base.model_fields:
        return True
    return bool(spec.model_fields[field].default != base.model_fields[field].default)


def _check_defaults(model: type[BaseModel], documented: dict[str, str]) -> None:
    for name, cell in documented.items():
        field = model.model_fields[name]
        if field.is_required():
            assert cell == "required", name
        elif isinstance(field.default, bool | int | float | str):
            assert cell == f"`{_toml(field.default)}`", name
        else:
            assert "`" not in cell.replace("`key`", ""), name


def _toml(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:.10g}"


def _seconds(text: str) -> int:
    number, unit = text.split()
    return int(number) * {"s": 1, "min": 60, "h": 3600}[unit]


def _errors() -> set[type[PipelineError] | type[StageError]]:
    public = [getattr(pipeline, name) for name in pipeline.__all__]
    return {each for each in public if isinstance(each, type) and issubclass(each, PipelineError | StageError)}


def test_the_page_of_serve_has_its_limits_and_media_types() -> None:
    limits, text = ServerLimits(), section("reference/serve.md", "## Limits")
    seconds = ("head_seconds", "body_gap_seconds", "body_minute_seconds", "drop_seconds", "send_seconds")
    said = [f"{getattr(limits, name):g} s" for name in (*seconds, "keep_alive_seconds")]
    said += [f"{limits.request_line_bytes // KIB} KiB", f"{limits.body_minute_bytes // KIB} KiB"]
    said += [f"{limits.header_count}, {limits.header_bytes // KIB} KiB", f"{limits.drop_bytes // MIB} MiB"]
    said += [f"{limits.connections:,}", f"{limits.connections_per_address:,}", f"{MAX_FAILURES} a minute"]
    said += [f"{MAX_PART_BYTES // MIB} MiB, {MAX_PART_ITEMS:,} items", f"{MAX_JSON_BYTES // MIB} MiB"]
    assert [each for each in said if each not in text] == []
    types = section("reference/serve.md", "## Bodies of submissions")
    assert [each for each in FORMATS if f"`{each}`" not in types] == []
