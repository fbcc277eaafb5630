"""What every place for files can do: take a file whole or not at all, under a name that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol


class StoredFile(NamedTuple):
    """A file in its place: its size in bytes, and the SHA-256 of its content."""

    bytes: int
    sha256: str


class PartPlaces(Protocol):
    """What writing a part takes of a `PartStore`."""

    def stage(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open an empty file, as a `PartStore` does."""

    def publish(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        """Put a staged file into its place."""


class PartStore(Protocol):
    """The folder of a batch at the target of an export. Names are relative to it.

    Every method raises `TargetUnavailable` if the target does not answer, refuses the credentials, or is full.
    """

    def stage(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open an empty file for what will be published under a name. Nothing of it is left after the block."""

    def publish(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        """Put a staged file under its name, whole and only if there is none.

        Args:
            content: SHA-256 of the results in it. A file that is there already and holds the same results is taken as
                it is: an attempt before this one has put it there.

        Raises:
            TargetConflict: another file has the name.
        """

    def restore(self, name: str, staged: BinaryIO, content: str) -> StoredFile:
        """Put a staged file under its name, whole and in the place of what is there.

        Args:
            content: as for `publish`.
        """

    def create(self, name: str, content: bytes) -> bytes | None:
        """Put a small file under a name, if there is none. Return what is there otherwise; None: it was created."""

    def replace(self, name: str, content: bytes, *, known: bytes) -> bool:
        """Replace a small file whose content is `known`. Return False if it has another one by now."""

    def read(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file.

        Raises:
            FileNotFoundError: there is none of that name.
        """

    def names(self) -> Iterator[str]:
        """Yield the names of all files."""

    def location(self, name: str) -> str:
        """Return where a file is, for people and programs; without credentials."""
