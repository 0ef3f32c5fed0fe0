"""How much the dispatcher sends to the broker: it counts scans, and looks at messages only to find the lost ones."""

from dataclasses import dataclass

# Messages of scans that have ended long ago cost a worker a millisecond each. So many more of them than scans in
# flight fill a broker that nobody empties, and nothing is added.
_MOST_MESSAGES = 8


@dataclass(frozen=True)
class Share:
    """What a round may dispatch of a queue.

    Attributes:
        new: scans that were not in flight.
        again: dispatched scans that nobody took in time, whose messages must be lost.
    """

    new: int
    again: int


def share_of_round(*, dispatched: int, leased: int, messages: int, bound: int) -> Share:
    """Return what a round may dispatch.

    A scan that is dispatched has a message in the broker, unless the broker lost it or a worker died with it in its
    hands. So as many were lost as there are fewer messages than such scans. However long the others wait, a second
    message would not bring them forward.

    Args:
        dispatched: scans that were sent and that no worker has taken.
        leased: scans in workers' hands.
        messages: in the broker's queue; those of scans that have ended are among them.
        bound: most scans in flight.
    """
    if messages >= _MOST_MESSAGES * bound:
        return Share(0, 0)
    return Share(new=max(0, bound - dispatched - leased), again=max(0, dispatched - messages))


def bulk_bound(places: int, bound: int) -> int:
    """Return the most scans of history in flight: no more than workers have places for beside live ones.

    Args:
        places: that all workers together have for them; 0 where no worker is known.
        bound: for any queue.
    """
    return min(places, bound) if places else bound


def bulk_places(threads: int) -> int:
    """Return how many scans of history a worker has in hand at once; its other threads are kept for live ones."""
    return max(1, threads // 2)
