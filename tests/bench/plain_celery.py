"""What one would write in an afternoon: one Celery task an image, forked workers, one image a forward pass.

It does less than Assay (no events, no lease, no provenance, no heatmaps, no
verdict), and is what the pipeline's throughput is held against.
"""

from functools import cache
from typing import Any

from celery import Celery
from sqlalchemy import Engine, create_engine, text

from worker.bundles.loaded import Bundle, shipped_bundle
from worker.bundles.opening import opening
from worker.detectors.device import pick_device, set_threads
from worker.freed_memory import share_freed_memory
from worker.images.decode import decode
from worker.objects.clients import s3_client
from worker.settings import Settings

QUEUE = "plain"
TABLE = "plain_result"

settings = Settings()
app = Celery("plain", broker=settings.redis_url.get_secret_value())
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, task_default_queue=QUEUE)


@app.task(name="plain.scan")
def scan(bucket: str, key: str) -> None:
    """Fetch, decode, score and store one image."""
    body = client().get_object(Bucket=bucket, Key=key)["Body"].read()
    bundle = detectors()
    (scores,) = bundle.score([bundle.prepare(decode(body, max_pixels=settings.max_image_pixels).image)])
    with database().begin() as connection:
        insert = text(f"INSERT INTO {TABLE} (key, probability) VALUES (:key, :probability)")  # noqa: S608 - a constant
        connection.execute(insert, {"key": key, "probability": scores.probability})


@cache
def detectors() -> Bundle:
    """Load the bundle once a process, with the one thread that a forked worker on a shared machine gets."""
    share_freed_memory()
    set_threads(1)
    return opening(settings, pick_device(settings.device)).open(shipped_bundle(settings.bundle))


@cache
def client() -> Any:
    """Connect to the object store once a process."""
    return s3_client(settings)


@cache
def database() -> Engine:
    """Connect to Postgres once a process."""
    return create_engine(settings.database_url.get_secret_value())
