"""Settings: one frozen object, read once from `PIPELINE_*` and checked before anything starts."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.crypto.encryption import Encryption, InvalidEncryptionKey
from pipeline.crypto.secrets import InvalidSecret
from pipeline.crypto.signer import Signer
from pipeline.domain.validation_text import describe_error
from pipeline.errors import InvalidSettings

PREFIX = "PIPELINE_"
#: The broker of the embedded mode: queues in this process's memory.
EMBEDDED_BROKER_URL = "memory://localhost/"

Network = IPv4Network | IPv6Network


class Transport(StrEnum):
    """What carries messages."""

    MEMORY = "memory"
    REDIS = "redis"
    RABBITMQ = "rabbitmq"


#: By the scheme of the broker's URL.
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
        raise ValueError(f"names {text!r}, which is no network; such as 127.0.0.0/8 or 10.1.2.3/32") from None


def _scheme(url: SecretStr) -> str:
    return url.get_secret_value().partition("://")[0]


class Settings(BaseSettings):
    """Everything that can be set from outside. Each field is the variable `PIPELINE_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: Where state lives: `sqlite:///FILE` or `postgresql://…`.
    database_url: SecretStr = SecretStr("sqlite:///pipeline.db")
    #: `redis://…` or `amqp://…`; unset: embedded, workers are threads of the same process.
    broker_url: SecretStr | None = None
    #: Folder in which definitions are found by name.
    definitions: Path | None = None
    #: `whsec_…` or `whsk_…`: signs callbacks. Several, separated by spaces: all sign, the first is the newest.
    webhook_secret: SecretStr | None = None
    #: Encrypts what endpoints have of their own. Several, separated by spaces: the first encrypts, any decrypts.
    encryption_key: SecretStr | None = None
    #: `user:password`, with which people sign in to Flower.
    flower_auth: SecretStr | None = None
    #: `http://user:password@…/api/`: where Flower asks RabbitMQ how long queues are.
    flower_broker_api: SecretStr | None = None
    #: CIDRs, separated by commas, that callbacks may reach although they are private; plain http included.
    allow_private_callbacks: Annotated[tuple[Network, ...], NoDecode] = ()
    #: Largest payload of an item, in bytes of compact JSON.
    max_payload_bytes: int = Field(default=262_144, ge=1, le=16_777_216)
    #: Micro-batches that a worker process runs at once: while one waits for the database, another computes.
    concurrency: int = Field(default=2, ge=1, le=256)
    #: Items a worker gathers into one call at the most.
    batch_items: int = Field(default=128, ge=1, le=10_000)
    #: Milliseconds a worker waits for more messages after the first.
    batch_wait_ms: float = Field(default=5.0, ge=0, le=1_000)
    #: Seconds without a sign of life after which released or running work is taken back.
    lease_seconds: float = Field(default=30.0, ge=1, le=3_600)
    #: Seconds a stopping worker gives what it has begun.
    stop_seconds: float = Field(default=10.0, ge=0, le=3_600)
    #: Whether each item's tasks send events, which is what Flower shows.
    task_events: bool = True
    #: Whether messages travel by the transports in `workers/transports`; false: by kombu's own, which are slower.
    fast_transport: bool = True
    #: Days that a batch is kept after it completed, with all that hangs on it; unset: everything is kept.
    retention_days: float | None = Field(default=None, gt=0, le=36_500)
    #: Workers that may die holding an item before it is given up: with all that ran, in few, and twice alone, since one
    #: death alone may still have been a kill from outside.
    max_crashes: int = Field(default=4, ge=1, le=100)

    @field_validator("allow_private_callbacks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(map(_network, filter(None, (part.strip() for part in value.split(",")))))

    @field_validator("broker_url", mode="after")
    @classmethod
    def _broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and _scheme(value) not in _TRANSPORTS:
            raise ValueError(f"names {_scheme(value)!r}; a broker is redis://…, rediss://… or amqp://…, amqps://…")
        return value

    @field_validator("webhook_secret", mode="after")
    @classmethod
    def _secrets(cls, value: SecretStr | None) -> SecretStr | None:
        # Of compose files and the like, an empty value means none.
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
            # Browsers disagree on how to encode anything else.
            if not (user and password and (user + password).isascii() and (user + password).isprintable()):
                raise ValueError("must be user:password, both of printable ASCII characters")
        return value

    @field_validator("flower_broker_api", mode="after")
    @classmethod
    def _management_api(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (
            _scheme(value) in ("http", "https") and urlsplit(value.get_secret_value()).hostname
        ):
            raise ValueError("must be like http://user:password@rabbitmq.internal:15672/api/")
        return value

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
        """The keys that encrypt what endpoints have of their own, newest first."""
        return tuple(self.encryption_key.get_secret_value().split()) if self.encryption_key else ()


def load(**overrides: Any) -> Settings:
    """Return the settings of this environment; `overrides` that are not None win.

    Raises:
        InvalidSettings: a variable or override cannot be used, or a `PIPELINE_*` variable is not known.
    """
    _refuse_unknown(os.environ)
    given = {name: value for name, value in overrides.items() if value is not None}
    unknown = set(given) - set(Settings.model_fields)
    if unknown:
        raise InvalidSettings(f"no setting is called {', '.join(sorted(unknown))}; {_known()}")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidSettings("\n".join(_explain(detail) for detail in error.errors())) from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    names = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in environment:
        if variable.startswith(PREFIX) and variable not in names:
            near = difflib.get_close_matches(variable, names, n=1)
            hint = f"did you mean {near[0]}?" if near else _known()
            raise InvalidSettings(f"{variable} is set, but there is no such setting; {hint}")


def _explain(detail: Any) -> str:
    name = str(detail["loc"][0])
    # Values of secrets never reach a message; the others help.
    secret = Settings.model_fields[name].annotation in (SecretStr, SecretStr | None)
    given = os.environ.get(PREFIX + name.upper())
    shown = "" if secret or given is None else f" is {given!r}"
    return f"{PREFIX}{name.upper()}{shown}: {describe_error(detail)}"


def _known() -> str:
    return "known are " + ", ".join(sorted(PREFIX + name.upper() for name in Settings.model_fields))
