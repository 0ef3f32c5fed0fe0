"""Postgres, the truth: tables and the few statements that change them."""
