"""Numbers the feed of changes: the one writer, since a duty runs in one process at a time."""

from worker.database.changes import Changes


class NumberChanges:
    """Numbers all that is committed."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def __call__(self) -> int:
        """Number what waits; return how many."""
        total = 0
        while count := self._changes.number_some():
            total += count
        return total
