"""Scan: one image from its lease to its verdict."""
