"""Files of what happened within a period, made by workers, piece by piece."""
