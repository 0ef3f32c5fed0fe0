"""Pretrained encoders: which there are, where they come from, where they lie on this machine."""
