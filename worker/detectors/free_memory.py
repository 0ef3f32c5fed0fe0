"""Gives memory that nothing holds any more back to the system."""

import ctypes


def give_back_free_memory() -> None:
    """Let the C library return what it keeps for later; where it is not glibc, nothing happens.

    Forward and backward passes of many sizes leave holes of all sizes. A worker grew by half a gigabyte over some
    hundred batches of heatmaps, of which all but a little was free.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
