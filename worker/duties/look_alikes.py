"""The duty that puts images of the review queue that look alike together."""

from worker.database.look_alikes import LookAlikes

# A search takes milliseconds, and a duty must not keep the others waiting.
_MOST_AT_ONCE = 200


class GroupLookAlikes:
    """A duty of the dispatcher."""

    def __init__(self, look_alikes: LookAlikes) -> None:
        self._look_alikes = look_alikes

    def __call__(self) -> None:
        """Compare what came into the queue, and tidy up when there was nothing to compare."""
        if not self._look_alikes.compare(most=_MOST_AT_ONCE):
            self._look_alikes.tidy()
