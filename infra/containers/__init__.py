"""Assay in containers on this machine: images built, compose started, networks cut, and what stands in for what."""
