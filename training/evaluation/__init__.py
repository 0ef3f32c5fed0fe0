"""Evaluation: a bundle and labelled images become measures, by source and by generator."""
