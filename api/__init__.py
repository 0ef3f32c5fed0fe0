"""The HTTP API: images in, verdicts out. Never imports torch, nor anything that does."""
