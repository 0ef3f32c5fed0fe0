"""Queues of Celery beside those of scans, which :mod:`worker.database.images` names."""

TRAINING_QUEUE = "training"
