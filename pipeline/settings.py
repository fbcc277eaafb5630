"""Settings: one immutable object, read once from the `PIPELINE_*` environment variables and validated at startup."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.crypto.encryption import Encryption, InvalidEncryptionKey
from pipeline.crypto.secrets import InvalidSecret
from pipeline.crypto.signer import Signer
from pipeline.domain.urls.allowed_targets import check_target_pattern
from pipeline.domain.validation_text import describe_error
from pipeline.errors import InvalidSettings
from pipeline.telemetry.address import parse_address
from pipeline.telemetry.line_formats import LogFormat
from pipeline.telemetry.log_items import parse_log_items

PREFIX = "PIPELINE_"
#: Broker of the embedded mode: queues in the memory of this process.
EMBEDDED_BROKER_URL = "memory://localhost/"

Network = IPv4Network | IPv6Network


class Transport(StrEnum):
    """The message broker."""

    MEMORY = "memory"
    REDIS = "redis"
    RABBITMQ = "rabbitmq"


#: Transport by the scheme of the broker URL.
_TRANSPORTS = {
    "memory": Transport.MEMORY,
    "redis": Transport.REDIS,
    "rediss": Transport.REDIS,
    "redis+socket": Transport.REDIS,
    "amqp": Transport.RABBITMQ,
    "amqps": Transport.RABBITMQ,
    "pyamqp": Transport.RABBITMQ,
}


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a network; use CIDR notation, such as 127.0.0.0/8 or 10.1.2.3/32") from None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or text != f"{parts.scheme}://{parts.netloc}"
        or not _is_host(parts.netloc)
    ):
        raise ValueError(f"{text!r} is not an origin; write it as browsers do, such as https://app.example.com")
    return text.lower()


def _host(text: str) -> str:
    if not _is_host(text) or (":" in text and not text.endswith("]")):
        raise ValueError(f"{text!r} is not the name of a host; write pipeline.example.com, without a port")
    return text.lower()


def _is_host(text: str) -> bool:
    return bool(text) and text.isascii() and not set(text) & set("*/@?# ,")


def _scheme(url: SecretStr) -> str:
    return url.get_secret_value().partition("://")[0]


class Settings(BaseSettings):
    """All settings. Each field is read from the environment variable `PIPELINE_` + the field name in capitals."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    #: URL of the database: `sqlite:///FILE` or `postgresql://…`.
    database_url: SecretStr = SecretStr("sqlite:///pipeline.db")
    #: URL of the broker: `redis://…` or `amqp://…`. Unset: embedded mode, workers are threads of the same process.
    broker_url: SecretStr | None = None
    #: URL of a server, `https://…`: the command line and Python work with it instead of a database.
    server_url: SecretStr | None = None
    #: The key that a server asks for: `pipe_…`.
    api_key: SecretStr | None = None
    #: Folder that is searched for definitions by name.
    definitions: Path | None = None
    #: `whsec_…` or `whsk_…` secrets that sign callbacks, separated by spaces, newest first. Each of them signs.
    webhook_secret: SecretStr | None = None
    #: Keys that encrypt endpoints' own secrets and headers, separated by spaces. The first encrypts, any decrypts.
    encryption_key: SecretStr | None = None
    #: `user:password` for signing in to Flower.
    flower_auth: SecretStr | None = None
    #: `http://user:password@…/api/`: the RabbitMQ management API from which Flower reads queue lengths.
    flower_broker_api: SecretStr | None = None
    #: Private networks that callbacks may reach, also over plain http: CIDRs, separated by commas.
    allow_private_callbacks: Annotated[tuple[Network, ...], NoDecode] = ()
    #: File of the connections that `conn://NAME` names: servers and stores, with secrets from the environment.
    connections: Path | None = None
    #: File of the channels that alerts go to, of thresholds and of a heartbeat. Unset: alerts are stored and logged.
    alerts: Path | None = None
    #: Hosts that message targets and exports may name without a connection, separated by commas. Unset: none.
    allow_targets: Annotated[tuple[str, ...], NoDecode] = ()
    #: Origins, such as `https://app.example.com`, whose pages may call the HTTP API: separated by commas.
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    #: Names under which `pipeline serve` answers, without port, separated by commas. Unset: any, if keys are asked for.
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    #: Maximum size of an item's payload, in bytes of compact JSON.
    max_payload_bytes: int = Field(default=262_144, ge=1, le=16_777_216)
    #: Items of one tenant that may wait; submissions are refused while more do. Unset: any number.
    max_pending_items: int | None = Field(default=None, ge=1)
    #: Maximum size of a body that the HTTP API takes, in bytes, as it is sent and decompressed.
    max_upload_bytes: int = Field(default=10_737_418_240, ge=1)
    #: Micro-batches that a worker process runs concurrently: while one waits for the database, another computes.
    concurrency: int = Field(default=2, ge=1, le=256)
    #: Maximum number of items that a worker gathers into one call.
    batch_items: int = Field(default=128, ge=1, le=10_000)
    #: Milliseconds that a worker waits for more messages after the first.
    batch_wait_ms: float = Field(default=5.0, ge=0, le=1_000)
    #: Seconds without a heartbeat after which released or running work is taken back.
    lease_seconds: float = Field(default=30.0, ge=1, le=3_600)
    #: Seconds that a stopping worker allows for work in progress.
    stop_seconds: float = Field(default=10.0, ge=0, le=3_600)
    #: Whether each item's tasks send the Celery events that Flower displays.
    task_events: bool = True
    #: Whether messages use the transports in `workers/transports`; false: those of kombu, which are slower.
    fast_transport: bool = True
    #: `host:port` on which workers and `pipeline serve` show metrics, without asking who reads them. Unset: nowhere.
    metrics_listen: str | None = None
    #: File, ending in `.prom`, in which workers show metrics to Prometheus's node exporter. Unset: none.
    metrics_textfile: Path | None = None
    #: Days to keep a batch and everything that belongs to it after it completes. Unset: keep everything.
    retention_days: float | None = Field(default=None, gt=0, le=36_500)
    #: Number of workers that may die while running an item before the item is dead. With the default, the item runs
    #: once among all others, once in a small group, and twice alone, since one death alone may be a kill from outside.
    max_crashes: int = Field(default=4, ge=1, le=100)

    #: Format of log lines: `text` for people; `json`, `ecs` or `splunk` for a log platform.
    log_format: LogFormat = LogFormat.TEXT
    #: Items whose attempts are logged, a line each: `off`, `dead`, `sample:RATE` or `all`.
    log_items: str = "off"
    #: Whether those lines have the items' keys, which may be personal data.
    log_keys: bool = False

    #: Share of items that are traced, if traces are sent: OTEL_EXPORTER_OTLP_ENDPOINT is set.
    trace_items: float = Field(default=0.001, ge=0, le=1)

    @field_validator("log_items", mode="after")
    @classmethod
    def _log_items(cls, value: str) -> str:
        parse_log_items(value)
        return value

    @field_validator("allow_private_callbacks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return tuple(map(_network, _listed(value))) if isinstance(value, str) else value

    @field_validator("allow_targets", mode="before")
    @classmethod
    def _targets(cls, value: Any) -> Any:
        return tuple(map(check_target_pattern, _listed(value) if isinstance(value, str) else value))

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        return tuple(map(_origin, _listed(value))) if isinstance(value, str) else value

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: Any) -> Any:
        return tuple(map(_host, _listed(value))) if isinstance(value, str) else value

    @field_validator("broker_url", mode="after")
    @classmethod
    def _broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _scheme(value) not in _TRANSPORTS:
            raise ValueError(f"unsupported scheme {_scheme(value)!r}; use redis://…, rediss://…, amqp://… or amqps://…")
        return value

    @field_validator("webhook_secret", mode="after")
    @classmethod
    def _secrets(cls, value: SecretStr | None) -> SecretStr | None:
        # Compose files and the like pass an empty value for an unset variable.
        if value is not None and value.get_secret_value().strip():
            try:
                Signer(value.get_secret_value().split())
            except InvalidSecret as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("encryption_key", mode="after")
    @classmethod
    def _keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                Encryption(value.get_secret_value().split())
            except InvalidEncryptionKey as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("flower_auth", mode="after")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            user, _, password = value.get_secret_value().partition(":")
            # Browsers disagree on how to encode non-ASCII credentials.
            if not (user and password and (user + password).isascii() and (user + password).isprintable()):
                raise ValueError("expected user:password, both in printable ASCII characters")
        return value

    @field_validator("metrics_listen", mode="after")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            parse_address(value)
        return value

    @field_validator("metrics_textfile", mode="after")
    @classmethod
    def _read_by_node_exporter(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix != ".prom":
            raise ValueError(f"{str(value)!r} does not end in .prom, so Prometheus's node exporter would not read it")
        return value

    @field_validator("flower_broker_api", mode="after")
    @classmethod
    def _management_api(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (
            _scheme(value) in ("http", "https") and urlsplit(value.get_secret_value()).hostname
        ):
            raise ValueError("expected a URL such as http://user:password@rabbitmq.internal:15672/api/")
        return value

    @property
    def has_metrics(self) -> bool:
        """Whether processes count what they do."""
        return self.metrics_listen is not None or self.metrics_textfile is not None

    @property
    def transport(self) -> Transport:
        return Transport.MEMORY if self.broker_url is None else _TRANSPORTS[_scheme(self.broker_url)]

    @property
    def is_embedded(self) -> bool:
        return self.transport is Transport.MEMORY

    @property
    def secrets(self) -> tuple[str, ...]:
        """The webhook secrets, newest first."""
        return tuple(self.webhook_secret.get_secret_value().split()) if self.webhook_secret else ()

    @property
    def encryption_keys(self) -> tuple[str, ...]:
        """The keys that encrypt endpoints' own secrets and headers, newest first."""
        return tuple(self.encryption_key.get_secret_value().split()) if self.encryption_key else ()


def load(**overrides: Any) -> Settings:
    """Return the settings from the environment. `overrides` that are not None replace them.

    Raises:
        InvalidSettings: a variable or override is invalid, or a `PIPELINE_*` variable is unknown.
    """
    _check_names(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    unknown = set(given) - set(Settings.model_fields)
    if unknown:
        raise InvalidSettings(f"there is no setting {', '.join(sorted(unknown))}; {_valid_names()}")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidSettings("\n".join(_message(detail) for detail in error.errors())) from None


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return PREFIX + name.upper()


def _check_names(environment: Mapping[str, str]) -> None:
    known = {variable(name) for name in Settings.model_fields}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else _valid_names()
            raise InvalidSettings(f"{name} is set, but there is no such setting; {hint}")


def _message(detail: Any) -> str:
    name = str(detail["loc"][0])
    # Never print the value of a secret.
    is_secret = Settings.model_fields[name].annotation in (SecretStr, SecretStr | None)
    value = os.environ.get(variable(name))
    quoted = "" if is_secret or value is None else f" is {value!r}"
    return f"{variable(name)}{quoted}: {describe_error(detail)}"


def _valid_names() -> str:
    return "valid names are " + ", ".join(sorted(map(variable, Settings.model_fields)))
