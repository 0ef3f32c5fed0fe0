"""Retraining: a training run from its lease to a registered challenger."""
