"""The schemes of connections, and the options that each takes."""

from __future__ import annotations

#: Options of every scheme that speaks TLS: authorities that replace the system's, as a file.
_TLS = ("ca_file",)
_LOGIN = ("username", "password")

#: Options by scheme, beside `url` and `for`. All are text; their values may contain `${NAME}`.
SCHEMES: dict[str, tuple[str, ...]] = {
    "amqp": _LOGIN,
    "amqps": (*_LOGIN, *_TLS),
    "redis": _LOGIN,
    "rediss": (*_LOGIN, *_TLS),
    "nats": (*_LOGIN, "token"),
    "tls": (*_LOGIN, "token", *_TLS),
    "kafka": (*_LOGIN, "security_protocol", "sasl_mechanism", *_TLS),
    "sqs": ("access_key_id", "secret_access_key", "session_token", "endpoint"),
    "s3": ("region", "access_key_id", "secret_access_key", "session_token", "endpoint"),
    "gs": ("service_account_file",),
    "az": ("account_name", "account_key", "sas_token", "endpoint"),
    "https": (*_LOGIN, "bearer_token", *_TLS),
    "file": (),
    "postgresql": (*_LOGIN, "sslmode", *_TLS),
    "mysql": (*_LOGIN, *_TLS),
}

_SECRET_WORDS = ("password", "secret", "token", "key")


def is_secret_option(name: str) -> bool:
    """Return whether the value of an option is secret even if it is written in the file."""
    return any(word in name for word in _SECRET_WORDS) and name != "access_key_id"
