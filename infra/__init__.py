"""Runs Assay: the command line, the embedded stack, images, charts, monitoring."""
