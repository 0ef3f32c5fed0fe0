"""Calibration: held-out logits become fusion, calibration and held-out figures."""
