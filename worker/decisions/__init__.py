"""Decisions: pure arithmetic and rules, without input, output, clock or settings."""
