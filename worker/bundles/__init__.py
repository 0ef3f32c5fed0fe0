"""Bundles: detectors' weights with preprocessing, fusion and calibration, on disk and loaded."""
