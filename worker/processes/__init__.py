"""Processes: the only places that read settings and wire the parts together."""
