"""Guards of batches against failures, and the cause of each dead item."""

from __future__ import annotations

import hashlib
import re  # noqa: TID251 - constant patterns, on text of bounded length

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_DEAD = sa.text("state = 'dead'")
#: Dead items that get their cause in one statement.
_CHUNK = 5_000


#: Part of every cause: with other rules, the same message has another one.
_RULES = "2"
#: Characters of a message that are looked at, and of what is kept of it.
_MAX_LENGTH, _KEPT_LENGTH = 2_000, 200
_ID_DIGITS = 12
#: What is replaced, in this order.
_VARIABLE = (
    # The host tells services apart.
    (re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://(?:[^\s/@]*@)?([^\s/?#:'\"<>]*)[^\s'\"<>]*", re.IGNORECASE), r"url:\1"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-f]*:[0-9a-f:.]+\](?::\d+)?", re.IGNORECASE), "<ip>"),
    (re.compile(r"\"[^\"]*\"|`[^`]*`|(?<!\w)'[^']*'(?!\w)"), "<q>"),
    (re.compile(r"\b0x[0-9a-f]+\b|\b(?=[a-f]{0,40}[0-9])[0-9a-f]{8,}\b", re.IGNORECASE), "<hex>"),
    # Not of a host name, which tells services apart as well; it has a dot.
    (re.compile(r"(?<![\w.:</\\-])(?=[\w-]*[a-z])(?=[\w-]*\d)[\w-]+(?![\w.-]*\w)", re.IGNORECASE), "<id>"),
    (re.compile(r"(?<![\w.:<])~?(?:/(?:[\w.+-]|<\w+>)+){2,}/?|\b[a-z]:\\[\w.\\+-]+", re.IGNORECASE), "<path>"),
    # Not a status: 404 and 503 are different causes.
    (
        re.compile(
            r"(?<!\w)(?P<status>(?:HTTP(?:/\d(?:\.\d)?)?|status|code|answered)[ :=]+[1-5]\d\d)(?![\w.,]*\d)(?! bytes)|"
            r"(?<![\w.])\d+(?:[.,:]\d+)*",
            re.IGNORECASE,
        ),
        lambda found: found["status"] or "<n>",
    ),
)


def upgrade() -> None:
    op.add_column("batches", sa.Column("paused_by", sa.Text(), comment="manual, or guard:NAME; null: it is not paused"))
    op.add_column(
        "batches",
        sa.Column(
            "max_in_flight", sa.Integer(), comment="most items in flight at once; null: as many as the window allows"
        ),
    )
    op.execute(sa.text("UPDATE batches SET paused_by = 'manual' WHERE state = 'paused'"))
    op.add_column("items", sa.Column("cause", sa.Text(), comment="hash of what it died of; null: it is not dead"))
    _find_causes()
    op.create_index("ix_items_cause", "items", ["batch_id", "cause", "id"], postgresql_where=_DEAD, sqlite_where=_DEAD)
    _create_guards()


def _find_causes() -> None:
    connection = op.get_bind()
    read = sa.text(
        "SELECT id, batch_id, error_stage, error_kind, error_type, error_message FROM items "
        "WHERE state = 'dead' AND (batch_id, id) > (:batch, :after) ORDER BY batch_id, id LIMIT :number"
    )
    write = sa.text("UPDATE items SET cause = :cause WHERE id = :id")
    batch = after = 0
    while found := connection.execute(read, {"batch": batch, "after": after, "number": _CHUNK}).all():
        connection.execute(write, [{"id": row[0], "cause": _cause(*row[2:])} for row in found])
        batch, after = found[-1][1], found[-1][0]


def _cause(stage: str | None, kind: str | None, type_: str | None, message: str | None) -> str:
    """Return the id of a cause, by the rules of this version."""
    text = (message or "")[:_MAX_LENGTH]
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    parts = stage or "", kind or "", type_ or "", " ".join(text.split())[:_KEPT_LENGTH]
    digest = hashlib.sha256("\0".join((_RULES, *parts)).encode(errors="replace")).hexdigest()
    return digest[:_ID_DIGITS]


def _create_guards() -> None:
    op.create_table(
        "guards",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False, comment="JSON"),
        sa.Column("state", sa.Text(), nullable=False, server_default="watching"),
        sa.Column(
            "score", sa.Float(), nullable=False, server_default="0", comment="of the sequential test; above 7 it fires"
        ),
        sa.Column("observed", sa.BigInteger(), nullable=False, server_default="0", comment="counted since `since`"),
        sa.Column("failed", sa.BigInteger(), nullable=False, server_default="0", comment="of these"),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False, server_default="0", comment="since the last reset"),
        sa.Column("episode", sa.Integer(), nullable=False, server_default="0", comment="times it has fired"),
        sa.Column("fired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True, comment="what it said when it fired last"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False, comment="who set it last"),
        sa.CheckConstraint("state IN ('watching', 'fired')", name=op.f("ck_guards_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guards")),
        comment="Guards of batches against failures, and what they have counted",
    )
    op.create_index("uq_guards_batch_id_name", "guards", ["batch_id", "name"], unique=True)
