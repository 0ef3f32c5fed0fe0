"""Dispatch: due scans move from Postgres to Celery, which only rings the bell."""
