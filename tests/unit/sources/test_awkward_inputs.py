"""Awkward inputs are read without a lost row or a wrong value, or refused with a message that helps."""

from __future__ import annotations

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources import HeaderRules, ReadReport, Record, read_items
from tests.support.awkward_inputs import AWKWARD


@pytest.mark.parametrize("awkward", AWKWARD, ids=lambda awkward: awkward.name)
def test_an_awkward_input_is_read_or_refused(awkward, tmp_path):
    path = tmp_path / awkward.file
    path.write_bytes(awkward.content)
    warnings = []
    report = ReadReport(warn=warnings.append)
    options = dict(awkward.options)
    rules = HeaderRules(options.pop("header", None) == "lenient", options.pop("strict", False), frozenset({"id"}))

    found = []
    if awkward.error is not None:
        with pytest.raises(InvalidInput) as raised:
            found.extend(read_items(path, header=rules, report=report, **options))
        assert awkward.file in str(raised.value)
        assert awkward.error in str(raised.value)
        return
    found.extend(read_items(path, header=rules, report=report, **options))
    assert [(item.line, item.payload) for item in found if isinstance(item, Record)] == list(awkward.items)
    refused = [(item.line, item.reason) for item in found if not isinstance(item, Record)]
    assert [line for line, _ in refused] == [line for line, _ in awkward.refused]
    for (_, reason), (_, beginning) in zip(refused, awkward.refused, strict=True):
        assert reason.startswith(beginning)
    assert report.blank_rows == awkward.blank_rows
    assert len(warnings) == len(awkward.warnings)
    assert all(warning.endswith(end) for warning, end in zip(warnings, awkward.warnings, strict=True))
