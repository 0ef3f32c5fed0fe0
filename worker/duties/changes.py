"""Numbers the feed of changes: the one writer, since a duty runs in one process at a time."""

from worker.database.changes import AT_ONCE, Changes


class NumberChanges:
    """Numbers all that is committed."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def __call__(self) -> int:
        """Number what waits; return how many."""
        total = count = self._changes.number_some()
        while count == AT_ONCE:  # what comes after fewer has its turn in a second
            count = self._changes.number_some()
            total += count
        return total
