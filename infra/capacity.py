"""How long images wait and what they cost, by simulation: arrivals with bursts, and workers that judge in batches.

Simple on purpose. All workers take from one line, the longest waiting first, and no worker, message or image fails.
Real workers hold up to twice their batch in hand, so a burst may be spread less evenly than here.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from random import Random

from infra.capacity_terms import Fleet, Load, refuse_unless

_MILLION = 1_000_000
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class Batch:
    """Images that one worker judges at once.

    Attributes:
        images: their places in the order of arrival.
        begin: in seconds.
        end: in seconds.
    """

    images: range
    begin: float
    end: float


@dataclass(frozen=True)
class Forecast:
    """What to expect; seconds and hours are of the clock, or of one worker where that is in the name.

    Attributes:
        images: that arrived, each of which was judged.
        p50: latency in seconds from arrival to verdict, of half the images or fewer; likewise the others.
        p95: of 95 in a hundred.
        p99: of 99 in a hundred.
        backlog: most images that waited or were being judged at once.
        oldest_seconds: greatest age of an image without a verdict.
        busy_share: share of their time that workers judge, from 0 to 1.
        worker_hours: that a million images take of workers that are always on; 0 where none arrived.
        busy_hours: that a million images take of one worker that is never idle.
        catch_up_hours: of the clock, for a million images that wait, by all workers.
    """

    images: int
    p50: float
    p95: float
    p99: float
    backlog: int
    oldest_seconds: float
    busy_share: float
    worker_hours: float
    busy_hours: float
    catch_up_hours: float


def forecast(load: Load, fleet: Fleet, seconds: float = 7200.0, seed: int = 0) -> Forecast:
    """Simulate arrivals until the last image has its verdict; the same seed gives the same.

    Args:
        load: how images arrive.
        fleet: that judges them.
        seconds: of arrivals, 1 or more; up to the end of a burst, so that the average rate is right.
        seed: where chance begins.

    Raises:
        CapacityError: no such seconds, or more than five million images.
    """
    refuse_unless(1 <= seconds < math.inf, "simulated seconds", seconds, "1 or more")
    seconds = load.period * math.ceil(seconds / load.period) if load.burst_share else seconds
    refuse_unless(
        load.rate * seconds <= 5 * _MILLION, "images", load.rate * seconds, "fewer seconds: at most 5,000,000"
    )
    arrivals = list(draw_arrivals(load, seconds, seed))
    return measure(arrivals, list(judge(arrivals, fleet)), fleet, seconds)


def draw_arrivals(load: Load, seconds: float, seed: int = 0) -> Iterator[float]:
    """Yield the seconds at which images arrive, in order: at random; each period is calm first and ends in a burst."""
    random = Random(seed)  # noqa: S311 - a simulation, no secrets
    share = load.burst_share
    period = load.period if share else seconds
    calm = period * (1 - share)
    calm_rate = load.rate * (1 - load.burst * share) / (1 - share)
    begin = 0.0
    while begin < seconds:
        yield from _draw_part(random, begin, min(begin + calm, seconds), calm_rate)
        yield from _draw_part(random, begin + calm, min(begin + period, seconds), load.burst * load.rate)
        begin += period


def _draw_part(random: Random, begin: float, end: float, rate: float) -> Iterator[float]:
    if rate <= 0:
        return
    moment = begin + random.expovariate(rate)
    while moment < end:
        yield moment
        moment += random.expovariate(rate)


def judge(arrivals: Sequence[float], fleet: Fleet) -> Iterator[Batch]:
    """Yield the batches in the order in which they begin; each image is in exactly one.

    Args:
        arrivals: seconds at which images come in, in order.
        fleet: that judges them.
    """
    free = [0.0] * fleet.workers
    heapify(free)
    running: list[tuple[float, int]] = []  # when each batch ends, and how many images are in it
    taken, begin = 0, 0.0
    while taken < len(arrivals):
        gathered, size = _gather(arrivals, taken, max(heappop(free), arrivals[taken]), fleet)
        begin = max(begin, gathered)  # the line is served in order
        while running and running[0][0] <= begin:
            heappop(running)
        room = fleet.max_in_flight - sum(images for _, images in running)
        while room <= 0:  # the dispatcher sends nothing before a batch has ended
            begin, images = heappop(running)
            room += images
        size = min(size, room)
        end = begin + fleet.batch_seconds(size, len(running) + 1)
        yield Batch(range(taken, taken + size), begin, end)
        heappush(free, end)
        heappush(running, (end, size))
        taken += size


def _gather(arrivals: Sequence[float], first: int, free: float, fleet: Fleet) -> tuple[float, int]:
    """Return when a free worker begins, and how many images it takes: all that came while the oldest waited."""
    latest = max(free, arrivals[first] + fleet.wait_seconds)
    # More than are in flight never come, however long the batch waits.
    most = min(fleet.max_batch, fleet.max_in_flight, len(arrivals) - first)
    size = bisect_right(arrivals, latest, first, first + most) - first
    begin = max(free, arrivals[first + size - 1]) if size == fleet.max_batch else latest
    return begin, size


def measure(arrivals: Sequence[float], batches: Sequence[Batch], fleet: Fleet, seconds: float) -> Forecast:
    """Sum up what :func:`judge` made of arrivals that lasted so many seconds."""
    ends = [batch.end + fleet.aside_seconds for batch in batches for _ in batch.images]
    latencies = [end - arrival for arrival, end in zip(arrivals, ends, strict=True)]
    span = max([seconds, *(batch.end for batch in batches)])
    busy = sum(batch.end - batch.begin for batch in batches)
    at_once = min(fleet.workers, fleet.at_full_speed or fleet.workers)
    p50, p95, p99 = percentiles(latencies)
    return Forecast(
        images=len(arrivals),
        p50=p50,
        p95=p95,
        p99=p99,
        backlog=_greatest_backlog(arrivals, ends),
        oldest_seconds=max(latencies, default=0.0),
        busy_share=busy / (span * fleet.workers),
        worker_hours=_MILLION * span * fleet.workers / len(arrivals) / _HOUR_SECONDS if arrivals else 0.0,
        busy_hours=_MILLION / fleet.images_a_second / _HOUR_SECONDS,
        catch_up_hours=_MILLION / (fleet.images_a_second * at_once) / _HOUR_SECONDS,
    )


def least_workers(load: Load, fleet: Fleet) -> int:
    """Return how many workers judge more than arrives on average; with fewer, latency grows without end."""
    return int(load.rate / fleet.images_a_second) + 1


def percentiles(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Return the 50th, 95th and 99th percentile, each one of the values; zeros where there is nothing."""
    ordered = sorted(seconds) or [0.0]
    p50, p95, p99 = (ordered[math.ceil(share * len(ordered) / 100) - 1] for share in (50, 95, 99))
    return p50, p95, p99


def _greatest_backlog(arrivals: Sequence[float], ends: Sequence[float]) -> int:
    ordered = sorted(ends)
    return max((place + 1 - bisect_right(ordered, arrival) for place, arrival in enumerate(arrivals)), default=0)
