"""Classifiers: single networks of the student systems, fitted and compared."""
