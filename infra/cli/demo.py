"""`assay demo`: the main job once, on real images through the real stack, and what came of it."""

import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.cli.demo_report import outcome_rows, outcome_table, totals
from infra.demo_images import DemoImage, own_images, sample_images
from infra.embedded.addresses import read_running_stack
from infra.embedded.errors import StackError
from infra.stack import AssayStack, Doors, running_doors
from worker.database.outcomes import Outcome, outcomes
from worker.database.session import Database, connect
from worker.objects.clients import s3_client
from worker.settings import Settings

_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Put:
    """An image that was put into the bucket, and when."""

    image: DemoImage
    key: str
    at: datetime


def demo(
    images: Annotated[Path | None, typer.Option(help="A folder of your own instead of the demo's images.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the last verdict.")] = 300.0,
) -> None:
    """Put images into a bucket, let the events do the rest, and print the verdicts."""
    if images is not None and not images.is_dir():
        raise typer.BadParameter(f"{images} is no folder")
    console = Console(stderr=True)
    source = own_images(images) if images else sample_images()
    with ThreadPoolExecutor(1) as beside:
        gathered = beside.submit(list[DemoImage], source)
        settings = Settings()
        running = read_running_stack(settings.data_dir)
        console.print("using the stack that is up" if running else "starting the stack …")
        with _stack(settings, running=bool(running), console=console) as doors:
            ended = _run(gathered.result(), console, timeout)
            _print(ended, as_json=json_)
            print(totals(ended, doors, stays_up=bool(running)), file=sys.stderr)


def _stack(settings: Settings, *, running: bool, console: Console) -> nullcontext[Doors] | AssayStack:
    if not running:
        return AssayStack(settings, report=partial(console.print, markup=False))
    doors = running_doors(settings.data_dir)
    if doors is None:
        raise StackError("a stack is running, but only its parts; stop it and run `make up`")
    from infra.cli.environment import load_settings

    load_settings()
    return nullcontext(doors)


def _run(images: list[DemoImage], console: Console, timeout: float) -> list[tuple[Put, Outcome | None]]:
    settings = Settings()
    database = connect(settings.database_url.get_secret_value())
    bucket = settings.upload_buckets[0]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("putting images", total=len(images))
        puts = []
        for put in _put_all(images, bucket, settings):
            puts.append(put)
            progress.advance(task)
        task = progress.add_task("waiting for verdicts", total=len(images))
        deadline = time.monotonic() + timeout
        while True:
            so_far = _outcomes(database, bucket, puts)
            progress.update(task, completed=len(so_far))
            if len(so_far) == len(puts) or time.monotonic() > deadline:
                return [(put, so_far.get(put.key)) for put in puts]
            time.sleep(_POLL_SECONDS)


def _put_all(images: Iterable[DemoImage], bucket: str, settings: Settings) -> Iterable[Put]:
    """Put with a plain S3 client, as a platform would; nothing else tells Assay of the images."""
    client = s3_client(settings)
    run = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for image in images:
        key = f"demo/{run}/{image.name}"
        at = datetime.now(UTC)
        client.put_object(Bucket=bucket, Key=key, Body=image.data)
        yield Put(image, key, at)


def _outcomes(database: Database, bucket: str, puts: list[Put]) -> dict[str, Outcome]:
    with database.transaction() as session:
        return {
            outcome.key: outcome
            for outcome in outcomes(session, bucket, [put.key for put in puts])
            if outcome.ended_at is not None
        }


def _print(ended: list[tuple[Put, Outcome | None]], *, as_json: bool) -> None:
    rows = outcome_rows(ended)
    if as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        Console(width=None if sys.stdout.isatty() else 190).print(outcome_table(rows))
    if any(outcome is None for _, outcome in ended):
        raise StackError("some images have no outcome yet; look into the logs below .assay/logs")
