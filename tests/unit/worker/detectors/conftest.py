"""Tiny detectors and bundles for this folder."""

from tests.unit.worker.small_bundles import detector, make_parts

__all__ = ["detector", "make_parts"]
