"""Migrations of the database: `pipeline db upgrade`, or `alembic upgrade head` in development."""
