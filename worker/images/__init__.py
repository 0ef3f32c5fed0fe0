"""What a file holds: pixels decoded under limits, and the perceptual hash."""
