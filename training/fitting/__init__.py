"""Fitting: rows become a fitted detector."""
