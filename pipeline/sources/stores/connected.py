"""Sources behind a connection: `conn://NAME/rest`, what the operator named, and its secrets."""

from __future__ import annotations

from pipeline.domain.urls.connection_url import parse_connection_url
from pipeline.errors import InvalidInput
from pipeline.objects.open_store import open_store
from pipeline.sources.ranges import BLOCK_BYTES
from pipeline.sources.source_access import SourceAccess
from pipeline.sources.source_file import SourceFile
from pipeline.sources.url import SourceUrl

_STORES = ("s3", "gs", "az")


def find_files(url: SourceUrl, access: SourceAccess) -> list[SourceFile]:
    """Return the files that the rest of a connection's URL stands for.

    Raises:
        NotFound, InvalidSettings: there is no such connection, it is not for sources, or lacks a variable.
        InvalidInput: it leads to no source, or there is no such file.
        SourceUnavailable: the store does not answer, or refuses the credentials.
    """
    parsed = parse_connection_url(url.text, name="the source")
    connection = access.find_connection(parsed.name)
    if connection.scheme not in _STORES:
        raise InvalidInput(f"connection {parsed.name!r} is {connection.scheme}://, which cannot be read as a source")
    opened = connection.open(parsed.rest)
    place, _, key = opened.url.partition("://")[2].partition("/")
    store = open_store(connection.scheme, place, opened.options, largest=BLOCK_BYTES, retries=0)
    # Imported here: it needs the library, whose absence `open_store` explains.
    from pipeline.sources.stores.objects import Bucket, list_files

    base = key.removesuffix(parsed.rest)
    return list_files(Bucket(store, f"{parsed.origin}/", base), key)
