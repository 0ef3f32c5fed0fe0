"""Generator: a small diffusion model of our own that draws pictures for the demo and for tests."""
