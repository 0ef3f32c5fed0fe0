"""What one item of a call costs on the device, measured batch by batch."""

from collections import OrderedDict
from collections.abc import Hashable

_MOST_CALLS = 32
_WEIGHT_OF_NEWEST = 0.3


class Costs:
    """Seconds for one item, by call; for the device's thread alone."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[tuple[str, int], float] = OrderedDict()

    def note(self, call: Hashable, seconds: float) -> None:
        """Take in what one item of a batch has just cost."""
        name = _name_of(call)
        before = self._seconds.pop(name, seconds)
        self._seconds[name] = before + _WEIGHT_OF_NEWEST * (seconds - before)
        if len(self._seconds) > _MOST_CALLS:
            self._seconds.popitem(last=False)

    def seconds_of(self, call: Hashable) -> float | None:
        """Return what one item costs; None where nobody knows yet."""
        return self._seconds.get(_name_of(call))


def _name_of(call: Hashable) -> tuple[str, int]:
    """Name a call without holding on to the bundle that it belongs to."""
    return getattr(call, "__qualname__", type(call).__qualname__), id(getattr(call, "__self__", call))
