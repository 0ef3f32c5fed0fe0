"""What the C library does with memory that was freed; where it is not glibc, none of this does anything."""

import ctypes

# mallopt(3): its names for what is set, and bytes; glibc takes no more for the first.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MAPPED_FROM, _KEPT = 32 * 1024 * 1024, 256 * 1024 * 1024  # bytes; glibc takes no more for the first


def share_freed_memory() -> None:
    """Let threads reuse the memory that others freed; to be called before there are threads, glibc only.

    Otherwise glibc keeps the pixels that a thread freed for that thread: with
    as many threads as a worker has, some gigabytes that nobody uses. And it
    gives back to the system what a batch needs again at once, which then is
    mapped and cleared anew: a third of the time of a batch (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def give_back_freed_memory() -> None:
    """Return to the system what is kept for later; costs milliseconds, and the next batch maps it anew.

    Passes of many sizes leave holes of all sizes. A process grew by half a gigabyte over some hundred batches of
    heatmaps, of which all but a little was free.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
