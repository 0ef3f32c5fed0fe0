"""Alembic migrations, named by date and act."""
