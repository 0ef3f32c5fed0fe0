"""Fakes for tests of every package: they keep what they are given and fail when told to."""
