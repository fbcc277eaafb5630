"""Every setting is documented with its true default."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipeline.connections.connection import ConnectionUse
from pipeline.connections.connections_file import read_connections
from pipeline.connections.schemes import SCHEMES
from pipeline.errors import InvalidSettings
from pipeline.settings import PREFIX, Settings, load
from tests.support.paths import ROOT

DOCS = (ROOT / "docs").rglob("*.md")
PAGE = ROOT / "docs" / "reference" / "settings.md"
NAMES = {PREFIX + name.upper(): name for name in Settings.model_fields}
ROW = re.compile(r"^\| `(PIPELINE_[A-Z_]+)` \| ([^|]*) \|", re.MULTILINE)


def shown(value: Any) -> str:
    """A default as a reader sees it."""
    if value is None or value == ():
        return "–"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_the_table_of_settings_lists_each_with_its_default() -> None:
    documented = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))
    expected = {variable: shown(Settings.model_fields[name].default) for variable, name in NAMES.items()}
    assert {variable: default.strip() for variable, default in documented.items()} == expected


@pytest.mark.parametrize("page", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in DOCS)])
def test_no_page_speaks_of_a_setting_that_is_not_there(page: str) -> None:
    spoken_of = set(re.findall(r"PIPELINE_[A-Z_]+[A-Z]", (ROOT / page).read_text(encoding="utf-8")))
    assert spoken_of <= set(NAMES)


def test_each_setting_says_in_the_code_what_it_means() -> None:
    text = (ROOT / "pipeline" / "settings.py").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert re.search(rf"^    #: .+\n(?:    #: .+\n)*    {name}: ", text, re.MULTILINE), name


def test_the_examples_of_the_settings_page_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"^export (PIPELINE_[A-Z_]+)='?([^'\n]*)'?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(examples) >= 3
    for variable, value in examples:
        monkeypatch.setenv(variable, value)
    settings = load()
    assert ip_network("10.20.0.0/16") in settings.allow_private_callbacks


def test_a_misspelt_setting_is_named_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LEASE_SECOND", "5")
    with pytest.raises(InvalidSettings, match="did you mean PIPELINE_LEASE_SECONDS"):
        load()


def test_the_settings_page_lists_the_keys_of_each_connection() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("| scheme of `url` | keys |")[2].partition("\n\n")[0]
    documented: dict[str, set[str]] = {}
    for row in re.findall(r"^\| (`.*`) \| (.*) \|$", table, re.MULTILINE):
        common, _, more = row[1].partition(";")
        for scheme in re.findall(r"`(\w+)`", row[0]):
            documented[scheme] = set(re.findall(r"`(\w+)`", common))
        added = re.findall(r"`(\w+)`", more)
        if added:
            documented[added[0]] |= set(added[1:])
    assert documented == {scheme: set(keys) for scheme, keys in SCHEMES.items()}


def test_the_connections_of_the_settings_page_are_accepted(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(# connections.toml\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "connections.toml").write_text(example[1], encoding="utf-8")
    found = {each.name: each for each in read_connections(tmp_path / "connections.toml")}
    assert found["bus"].uses == {ConnectionUse.TARGETS}
    assert found["lake"].options == {"region": "eu-central-1"}
