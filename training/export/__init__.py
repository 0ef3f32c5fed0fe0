"""Export: fitted detectors become a bundle with its card."""
