"""Duties: what the dispatcher does on a schedule, one file each."""
