"""Errors: one shape for everything that goes wrong, and the catalogue of kinds."""
