"""Chaos: faults on purpose while images pour in, and the count of what became of the images."""
