"""Alembic's scripts, run by ``open_records`` (never from a command line)."""
