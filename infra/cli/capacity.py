"""`assay capacity`: how long images will wait, how many workers that takes, and what it costs."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.capacity import Forecast


def capacity(
    *,
    rate: Annotated[float, typer.Option(help="Images a second on average over all the time, bursts included.")],
    images_a_second: Annotated[float, typer.Option(help="That one worker judges with full batches; measure yours.")],
    workers: Annotated[int, typer.Option(help="How many are always on, each with cores of its own.")] = 1,
    burst: Annotated[float, typer.Option(help="How many times the average rate images arrive in a burst.")] = 1.0,
    burst_share: Annotated[float, typer.Option(help="Share of the time that is burst, from 0 to below 1.")] = 0.0,
    burst_seconds: Annotated[float, typer.Option(help="How long one burst lasts.")] = 60.0,
    max_batch: Annotated[int, typer.Option(help="As ASSAY_MAX_BATCH.")] = 16,
    max_in_flight: Annotated[int, typer.Option(help="As ASSAY_MAX_IN_FLIGHT.")] = 512,
    fixed_seconds: Annotated[float, typer.Option(help="That each batch takes, whatever its size.")] = 0.05,
    aside_seconds: Annotated[float, typer.Option(help="That an image takes beside waiting and its batch.")] = 0.1,
    price: Annotated[float, typer.Option(min=0, help="Of one worker for an hour, in your currency.")] = 0.0,
    seconds: Annotated[
        float, typer.Option(help="How long images arrive in the simulation; up to whole bursts.")
    ] = 7200.0,
    seed: Annotated[int, typer.Option(help="Where chance begins.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
) -> None:
    """Simulate latency, backlog and cost of a million images; nothing is started and nothing is read."""
    from infra.capacity import forecast, least_workers
    from infra.capacity_terms import Fleet, Load

    load = Load(rate, burst, burst_share, burst_seconds)
    fleet = Fleet(
        workers,
        images_a_second,
        max_batch=max_batch,
        fixed_seconds=fixed_seconds,
        aside_seconds=aside_seconds,
        max_in_flight=max_in_flight,
    )
    result, least = forecast(load, fleet, seconds, seed), least_workers(load, fleet)
    cost = result.worker_hours * price
    if as_json:
        print(json.dumps({**asdict(result), "cost": cost, "least_workers": least}))
        return
    print(table(result, cost))
    if workers < least:
        print(f"Images arrive faster than they are judged, so latency grows for ever: take at least {least} workers.")


def table(result: "Forecast", cost: float) -> str:
    """Return a forecast for people; a cost of 0 means that no price is there."""
    lines = {
        "latency of half the images, at most": f"{result.p50:.2f} s",
        "of 95 in a hundred": f"{result.p95:.2f} s",
        "of 99 in a hundred": f"{result.p99:.2f} s",
        "greatest backlog": f"{result.backlog} images",
        "greatest age of an image without verdict": f"{result.oldest_seconds:.1f} s",
        "workers judge": f"{result.busy_share:.0%} of their time",
        "a million images, workers always on": f"{result.worker_hours:.1f} hours of a worker",
        "the same, never idle": f"{result.busy_hours:.1f} hours of a worker",
        "a million that wait, by all workers": f"{result.catch_up_hours:.1f} hours by the clock",
        **({"cost of a million images, workers always on": f"{cost:.2f}"} if cost else {}),
    }
    return "\n".join(f"{name:<44} {figure}" for name, figure in lines.items())
