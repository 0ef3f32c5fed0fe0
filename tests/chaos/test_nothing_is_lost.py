"""Parts die in the middle of the work; every image still gets exactly one verdict."""

import os
import signal
from collections.abc import Callable

import pytest
import redis
from PIL import Image
from sqlalchemy import func, select

from infra.demo_images import as_jpeg
from infra.embedded.stack import EmbeddedStack
from tests.support.assay_up import AssayUp, wait_until
from worker.database.tables import Verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

StartAssay = Callable[..., AssayUp]


def put_images(assay: AssayUp, count: int, folder: str = "chaos") -> list[str]:
    keys = [f"{folder}/{number:04d}.jpg" for number in range(count)]
    for number, key in enumerate(keys):
        assay.put(key, as_jpeg(Image.effect_noise((64, 64), 10 + number % 90).convert("RGB")))
    return keys


def wait_some_done(assay: AssayUp, keys: list[str], least: int) -> None:
    def some() -> bool:
        known = assay.outcomes(keys)
        return sum(outcome.ended_at is not None for versions in known.values() for outcome in versions) >= least

    wait_until(some, 120, f"the first {least} verdicts")


def assert_one_verdict_each(assay: AssayUp, keys: list[str], seconds: float) -> None:
    ended = assay.wait_ended(keys, seconds)
    assert {outcome.state for outcome in ended.values()} == {"completed"}
    with assay.database.transaction() as session:
        verdicts = session.scalar(select(func.count()).select_from(Verdict))
        images = session.scalar(select(func.count(Verdict.image_pk.distinct())))
    assert (verdicts, images) == (len(keys), len(keys))


def kill_worker(assay: AssayUp) -> None:
    os.kill(assay.pid("worker"), signal.SIGKILL)


def flush_valkey(assay: AssayUp) -> None:
    redis.Redis.from_url(assay.addresses.redis_url).flushall()


def run_faults(assay: AssayUp, count: int, seconds: float) -> None:
    keys = put_images(assay, count)
    wait_some_done(assay, keys, count // 10)
    kill_worker(assay)
    wait_some_done(assay, keys, count // 3)
    flush_valkey(assay)
    wait_some_done(assay, keys, count // 2)
    kill_worker(assay)
    flush_valkey(assay)
    assert_one_verdict_each(assay, keys, seconds)


def test_killed_workers_and_a_flushed_broker_lose_nothing(start_assay: StartAssay) -> None:
    run_faults(start_assay(), count=150, seconds=180)


@pytest.mark.slow
def test_a_thousand_images_survive_killed_workers_and_a_flushed_broker(start_assay: StartAssay) -> None:
    run_faults(start_assay(), count=1000, seconds=400)


@pytest.mark.slow
def test_every_part_may_die_once_with_images_on_their_way(start_assay: StartAssay) -> None:
    # An object store that is killed may forget events of its last seconds; then the sweep finds the images.
    assay = start_assay(ASSAY_SWEEP_INTERVAL_SECONDS="5")
    keys: list[str] = []
    for part in ("worker", "dispatcher", "listener", "api", "postgres", "valkey", "object_store"):
        portion = put_images(assay, 40, part)
        os.kill(assay.pid(part), signal.SIGKILL)
        assay.wait_ended(portion, 120)
        keys += portion
    assert_one_verdict_each(assay, keys, 10)


@pytest.mark.slow
def test_what_no_event_tells_of_is_found_by_the_sweep(start_assay: StartAssay) -> None:
    assay = start_assay(ASSAY_SWEEP_INTERVAL_SECONDS="5")
    assay.s3.put_bucket_notification_configuration(Bucket=assay.addresses.upload_bucket, NotificationConfiguration={})
    assert_one_verdict_each(assay, put_images(assay, 30), 120)


@pytest.mark.slow
def test_what_was_put_while_nothing_of_assay_ran_is_scanned_after_the_start(start_assay: StartAssay) -> None:
    assay = start_assay()
    assert assay.end(signal.SIGINT) == 0
    with EmbeddedStack(assay.data_dir, parts=["object_store"]):
        keys = put_images(assay, 30)
    assert_one_verdict_each(start_assay(assay.data_dir), keys, 120)
