"""How long fuzzers look: briefly and always alike, or as long as FUZZ_EXAMPLES says, each time elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings

_CHOSEN = os.environ.get("FUZZ_EXAMPLES")


def fuzzed(examples: int) -> Callable[[Any], Any]:
    """Return the settings of a fuzzer that looks at so many examples in the suite."""
    return settings(
        max_examples=int(_CHOSEN or examples),
        derandomize=_CHOSEN is None,
        database=None,
        deadline=None,
        # Fixtures are shared by all examples; each example restores what it changes.
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    )


#: Texts that have broken programs.
HOSTILE_TEXTS = (
    "", " ", "\t", "-", "--", "-1", "0", "00", "1e999", "nan", "inf", "-0", "1_000", "٣", "9" * 25, "9" * 5_000,
    "x" * 300, "x" * 70_000, "\ud800", "caf\udce9", "\udcff" * 300, "a\x00b", "\x00", "\x1b[31m", "\u202e", "\ufeff",
    "é", "e\u0301", "🙂", "{0}", "{", "%s", "%", "_", "'", '"', "\\", "$(x)", "a\nb", "a\rb", "..", "/", "//", "~",
    "~nobody", ".", "/dev/null", "/dev/full", "/proc/self/mem", "/nonexistent/x", "x/", "last", "last-1", "last-0",
    "T-1", "null", "true", "[]", "{}", "msg_", "msg_0", "msg_" + "0" * 28, "https://", "https://[", "https://[::1",
    "https://a:b", "https://a:99999", "https://x@y", "https://127.0.0.1:9/", "http://0/", "https://é", "ftp://x",
    "javascript:1", "=@", "a=@b", "a=b", "whsec_", "whsk_x", "1970-01-01", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00+14:00", "999999999w", "0s", "-1d", "1.5h", "1d2h", "None", "utf-16", "idna", "rot13", "base64",
    "unicode_escape", "undefined", "mbcs",
)  # fmt: skip
