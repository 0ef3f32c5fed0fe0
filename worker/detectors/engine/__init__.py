"""Engines: how the costly part of a detector is run. Eager torch is the reference that all others are checked with."""
