"""Training: labelled images → a calibrated, measured bundle. Never imported by the API."""
