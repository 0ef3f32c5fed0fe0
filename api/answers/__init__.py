"""Answers: what routes compute beyond one statement."""
