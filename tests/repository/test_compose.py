"""docker-compose.yml and Dockerfile agree with the code, the documents and each other."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from celery.bin.celery import celery

import celeryconfig
from pipeline.cli import main
from pipeline.settings import PREFIX, Settings
from tests.support.compose import FILE, SECRETS, TEXT, services, variables
from tests.support.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PRODUCTION = (ROOT / "docs" / "how-to" / "production.md").read_text(encoding="utf-8")

ALL = services(SECRETS)
#: Of the image that is built here.
OURS = {name: service for name, service in ALL.items() if "build" in service}
WORKERS = {name: service for name, service in OURS.items() if "worker" in service["command"]}
#: Everything but what ends by itself.
LASTING = {name: service for name, service in ALL.items() if service["restart"] != "no"}

SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}
#: Of programs that work with a server instead of a database.
CLIENT_SETTINGS = ("PIPELINE_SERVER_URL", "PIPELINE_API_KEY")
PROGRAMS: dict[str, click.Command] = {"pipeline": main, "celery": celery}


def commands(service: dict[str, Any]) -> list[list[str]]:
    """Return what a service runs of ours: its command and its check."""
    check = service.get("healthcheck", {}).get("test", ["NONE"])
    run = [*service.get("entrypoint", []), *service["command"]]
    return [words for words in (run, check[1:]) if words and words[0] in PROGRAMS]


def parse(words: list[str]) -> dict[str, Any]:
    """Parse a command line as its program does, without running it; return the options of the innermost command."""
    command, rest = PROGRAMS[words[0]], words[1:]
    context = click.Context(command, info_name=words[0])
    while isinstance(command, click.Group):
        options, rest, _ = command.make_parser(context).parse_args(rest)
        if not rest:
            return options
        found = command.get_command(context, rest[0])
        assert found is not None, f"{shlex.join(words)}: there is no command {rest[0]}"
        command, rest = found, rest[1:]
        context = click.Context(command, parent=context)
    if words[0] == "celery":
        # Its values are checked by an application that is loaded when it runs.
        options, rest, _ = command.make_parser(context).parse_args(rest)
        assert not rest
        return options
    return command.make_context(command.name, rest, parent=context.parent).params


def seconds(text: str) -> int:
    assert text.endswith("s"), text
    return int(text[:-1])


def test_the_file_is_valid_by_the_schema_of_compose() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "words", [words for service in OURS.values() for words in commands(service)], ids=lambda words: " ".join(words)
)
def test_every_command_exists_with_its_options(words: list[str]) -> None:
    parse(words)


def test_the_services_that_were_found_are_these() -> None:
    assert set(WORKERS) == set(celeryconfig.QUEUE_NAMES)
    assert set(OURS) == {*WORKERS, "migrate", "beat", "flower", "api", "metrics", "pipeline"}
    assert set(ALL) - set(OURS) == {"postgres", "redis", "rabbitmq"}
    assert all(commands(service) for service in OURS.values())


def test_workers_together_take_each_queue_once() -> None:
    taken = [name for service in WORKERS.values() for name in parse(service["command"])["queues"].split(",")]
    assert sorted(taken) == sorted(celeryconfig.QUEUE_NAMES)


def test_every_setting_that_is_passed_on_exists() -> None:
    passed = {name for service in ALL.values() for name in service.get("environment", {}) if name.startswith(PREFIX)}
    named = {name for name in variables() if name.startswith(PREFIX)}
    assert passed | named <= SETTINGS
    # A setting that cannot be chosen would be a surprise; some are those of one service.
    own = {
        "flower": {"PIPELINE_FLOWER_AUTH", "PIPELINE_FLOWER_BROKER_API"},
        "api": {"PIPELINE_ALLOWED_HOSTS", "PIPELINE_CORS_ORIGINS"},
    }
    in_workers = set(WORKERS["classify"]["environment"])
    assert SETTINGS - in_workers == {*CLIENT_SETTINGS}.union(*own.values())
    assert all(names <= set(ALL[service]["environment"]) for service, names in own.items())


def test_every_variable_is_documented() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", PRODUCTION, re.MULTILINE))
    assert set(variables()) <= documented
    assert documented <= {*variables(), *SETTINGS, "COMPOSE_PROFILES"}


def test_secrets_come_from_the_environment_and_are_asked_for() -> None:
    assert {name for name, ways in variables().items() if ":?" in ways} == set(SECRETS)
    for name in SECRETS:
        with pytest.raises(KeyError, match=name):
            services({other: value for other, value in SECRETS.items() if other != name})
    unfilled = services(dict.fromkeys(SECRETS, "<given>"))
    for service in unfilled.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|AUTH|URL", name) and value is not None:
                assert "<given>" in value, f"{name} is written down"


@pytest.mark.parametrize("name", ALL)
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = ALL[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["user"].split(":")[0] not in ("0", "root")
    if not service["read_only"]:
        assert "# Not read-only:" in TEXT.partition(f"\n  {name}:\n")[2].partition("\n    read_only: false")[0]
    assert "container_name" not in service
    assert "privileged" not in service
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), port
    for volume in service.get("volumes", []):
        assert isinstance(volume, str) or volume["read_only"], volume


@pytest.mark.parametrize("name", LASTING)
def test_a_service_that_lasts_is_checked_bounded_and_restarted(name: str) -> None:
    service = LASTING[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", [name for name in OURS if name != "migrate"])
def test_what_uses_the_tables_waits_until_they_are_there(name: str) -> None:
    needed = OURS[name]["depends_on"]
    assert needed["migrate"]["condition"] == "service_completed_successfully"
    assert needed["postgres"]["condition"] == needed["redis"]["condition"] == "service_healthy"


def test_workers_are_given_more_time_than_they_take_to_stop() -> None:
    for service in WORKERS.values():
        assert seconds(service["stop_grace_period"]) >= 5 * float(service["environment"]["PIPELINE_STOP_SECONDS"])
        assert "ports" not in service, "a fixed port cannot be scaled"


def test_redis_never_drops_a_message_to_make_room() -> None:
    assert "maxmemory-policy noeviction\n" in ALL["redis"]["command"][-1]


def test_images_are_pinned_to_a_major_version() -> None:
    for name in set(ALL) - set(OURS):
        assert re.fullmatch(rf"{name}:\d+(-management)?", ALL[name]["image"])
    version = re.search(r"^ARG PYTHON=(\d+\.\d+)$", DOCKERFILE, re.MULTILINE)
    assert version
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:${PYTHON}-slim"}


def test_the_image_runs_as_nobody_special_and_holds_nothing_that_builds() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\S+)$", final, re.MULTILINE)[1] == OURS["classify"]["user"]  # type: ignore[index]
    assert not re.search(r"\bapt|\bpip\b|gcc", final)
    assert "COPY --from=build /opt/pipeline /opt/pipeline" in final


def test_the_image_is_built_from_what_is_packed_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    needed = {*packed, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == needed
    extras = set(project["project"]["optional-dependencies"])
    assert set(OURS["classify"]["build"]["args"]["EXTRAS"].split(",")) <= extras


@pytest.mark.parametrize("page", ["docs/how-to/production.md", "docs/how-to/operations.md", "docker-compose.yml"])
def test_commands_that_pages_give_to_the_container_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = re.findall(r"docker compose run --rm (?:-T )?(pipeline [^`<>|\n]+)", text)
    assert lines
    for line in lines:
        parse(shlex.split(line))


def test_the_definitions_that_come_with_the_repository_can_be_used_at_once() -> None:
    (mount,) = OURS["classify"]["volumes"]
    assert (ROOT / mount["source"] / "support-tickets" / "definition.toml").exists()
    assert mount["target"] == OURS["classify"]["environment"]["PIPELINE_DEFINITIONS"]
    assert Path(mount["target"]) == Path(re.search(r"^WORKDIR (/definitions)$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
