"""Open a bucket or a container. The library is imported here, once a URL of its schemes is used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Seconds to connect.
CONNECT_SECONDS = 10
#: Seconds that a request may take, and bytes a second that a network carries at least.
LEAST_SECONDS, LEAST_BYTES_PER_SECOND = 60, 1024 * 1024
#: Times that a request is repeated within one attempt, and how long that may go on.
_RETRIES, _RETRY_SECONDS = 2, 20

_ALLOW_HTTP = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
#: The names of a connection's options at the library.
_NAMES = {"service_account_file": "service_account", "sas_token": "sas_key"}


def open_store(
    scheme: str, place: str, options: Mapping[str, str], *, largest: int, retries: int | None = None
) -> ObjectStore:
    """Return a bucket or container. Nothing is sent yet.

    Args:
        scheme: `s3`, `gs` or `az`.
        place: its name.
        options: of a connection, such as `region` and `access_key_id`. What is missing comes from the environment, as
            the tools of each vendor have it.
        largest: bytes of the largest object that is sent or read in one request.
        retries: times that the library repeats a request; None: twice.

    Raises:
        InvalidInput: obstore is not installed, or the options cannot be used.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise InvalidInput(f"{scheme}:// needs obstore: pip install 'pipeline[objects]'") from None
    # Options are checked by the library, by name.
    given: Any = {_NAMES.get(name, name): value for name, value in options.items()}
    common: dict[str, Any] = {
        "client_options": _client_options(scheme, given, largest),
        "retry_config": {
            "max_retries": _RETRIES if retries is None else retries,
            "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
        },
    }
    try:
        match scheme:
            case "s3":
                # The store refuses what has arrived damaged.
                return S3Store(place, config={"checksum_algorithm": "SHA256", **given}, **common)
            case "gs":
                return GCSStore(place, config=given, **common)
            case _:
                return AzureStore(place, config=given, **common)
    except (BaseError, ValueError) as error:
        # Its text may show options.
        raise InvalidInput(
            f"{scheme}://{place} cannot be opened with the options of its connection ({type(error).__name__})"
        ) from None


def _client_options(scheme: str, given: Mapping[str, str], largest: int) -> dict[str, Any]:
    seconds = LEAST_SECONDS + largest // LEAST_BYTES_PER_SECOND
    options: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "timeout": timedelta(seconds=seconds),
    }
    if given.get("endpoint", "").startswith("http://") or os.environ.get(_ALLOW_HTTP[scheme], "") == "true":
        # The operator has written it so. The library does not read the variable where it is given other options.
        options["allow_http"] = True
    return options
