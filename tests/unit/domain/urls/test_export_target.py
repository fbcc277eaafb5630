"""Targets of exports: their normal form, their options, and what is refused without showing a secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.urls.export_target import (
    MAX_EXPORTS,
    ExportFormat,
    InvalidExportTarget,
    TableMode,
    TargetKind,
    check_number,
    parse_export_target,
)


@pytest.mark.parametrize(
    ("text", "normal", "kind"),
    [
        ("out/", "file:///work/out/", TargetKind.FOLDER),
        ("./a/./out//?format=csv&rows=100000", "file:///work/a/out/?format=csv", TargetKind.FOLDER),
        ("/srv/out/", "file:///srv/out/", TargetKind.FOLDER),
        ("file:///srv/x%20y/", "file:///srv/x%20y/", TargetKind.FOLDER),
        ("s3://acme", "s3://acme/", TargetKind.OBJECTS),
        ("S3://acme/a/b?partition=label", "s3://acme/a/b/?partition=label", TargetKind.OBJECTS),
        ("az://box/a/?seconds=0&format=parquet", "az://box/a/?format=parquet&seconds=0", TargetKind.OBJECTS),
        ("postgres://db:5433/reports/results", "postgresql://db:5433/reports/public.results", TargetKind.TABLE),
        ("postgresql://db/r/s.t?mode=upsert", "postgresql://db/r/s.t?mode=upsert", TargetKind.TABLE),
        ("conn://lake/a/b", "conn://lake/a/b", TargetKind.CONNECTION),
    ],
)
def test_targets_have_one_normal_form(text: str, normal: str, kind: TargetKind) -> None:
    target = parse_export_target(text, folder="/work")
    assert (str(target), target.kind) == (normal, kind)
    assert parse_export_target(normal) == target


def test_options_are_typed_and_have_defaults() -> None:
    options = parse_export_target("s3://acme/?format=parquet&rows=5&fields=with_payload").options
    assert (options.format, options.rows, options.bytes, options.seconds) == (ExportFormat.PARQUET, 5, 2**27, 300)
    assert options.with_payload
    assert parse_export_target("postgresql://db/r/s.t?mode=upsert").options.mode is TableMode.UPSERT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("out", "a folder ends in a slash"),
        ("../out/", "contains `..`"),
        ("ftp://x/", "unknown scheme 'ftp'"),
        ("s3://", "'' is no bucket"),
        ("s3://a/../b", "an empty step"),
        ("s3://a//b", "an empty step"),
        ("s3://a/%2e%2e/b", "an empty step"),
        ("s3://a/b#c", "has a fragment"),
        ("file://host/x/", "three slashes"),
        ("s3://a/?formt=csv", "did you mean 'format'"),
        ("s3://a/?format=xlsx", "unknown format 'xlsx'"),
        ("s3://a/?rows=0", "a whole number from 1"),
        ("s3://a/?rows=1&rows=2", "comes twice"),
        ("s3://a/?mode=append2", "unknown mode"),
        ("s3://a/?mode=upsert", "files cannot have the option mode"),
        ("postgresql://db/r/s.t?rows=5", "a table cannot have the option rows"),
        ("postgresql://db/r", "name the database and the table"),
        ("postgresql://db/r/s.t; DROP", "is no name of a table"),
        ("conn://LAKE/x", "is no name of a connection"),
        ("", "expected a folder/"),
        ("s3://a/\x00", "expected a folder/"),
    ],
)
def test_what_cannot_be_a_target_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(InvalidExportTarget, match="^exports: ") as caught:
        parse_export_target(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text", ["s3://user:hunter2@acme/x", "postgresql://db/r/s.t?password=hunter2", "s3://a/?sig=hunter2"]
)
def test_credentials_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidExportTarget, match="PIPELINE_CONNECTIONS") as caught:
        parse_export_target(text)
    assert "hunter2" not in str(caught.value)


def test_a_batch_has_few_exports_each_to_another_place() -> None:
    targets = [parse_export_target(f"s3://acme/{number}/") for number in range(MAX_EXPORTS)]
    check_number(targets)
    with pytest.raises(InvalidExportTarget, match="at most 8"):
        check_number([*targets, parse_export_target("s3://acme/x/")])
    with pytest.raises(InvalidExportTarget, match="comes twice"):
        check_number([targets[0], parse_export_target("s3://acme/0/?format=csv")])


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for given_text in (text, f"s3://{text}", f"file:///{text}/", f"postgresql://{text}", f"s3://a/?{text}"):
        try:
            target = parse_export_target(given_text)
        except InvalidExportTarget:
            continue
        assert parse_export_target(str(target)) == target
