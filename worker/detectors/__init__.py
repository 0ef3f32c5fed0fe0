"""Detectors: image → views → logits → calibrated probability; the one place of the worker that knows torch."""
