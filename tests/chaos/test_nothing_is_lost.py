"""Parts die in the middle of the work; every image still gets exactly one verdict."""

import os
import signal

import pytest
import redis

from tests.support.assay_up import AssayUp
from tests.support.load import assert_one_verdict_each, put_images, wait_some_done

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def kill_worker(assay: AssayUp) -> None:
    os.kill(assay.pid("worker"), signal.SIGKILL)


def flush_valkey(assay: AssayUp) -> None:
    redis.Redis.from_url(assay.addresses.redis_url).flushall()


def test_killed_workers_and_a_flushed_broker_lose_nothing(assay: AssayUp) -> None:
    keys = put_images(assay, 150, "killed workers")
    wait_some_done(assay, keys, 15)
    kill_worker(assay)
    wait_some_done(assay, keys, 50)
    flush_valkey(assay)
    wait_some_done(assay, keys, 75)
    kill_worker(assay)
    flush_valkey(assay)
    assert_one_verdict_each(assay, keys, 180)


@pytest.mark.slow
def test_every_part_may_die_once_with_images_on_their_way(assay: AssayUp) -> None:
    for part in ("worker", "dispatcher", "listener", "api", "postgres", "valkey", "object_store"):
        keys = put_images(assay, 40, part)
        os.kill(assay.pid(part), signal.SIGKILL)
        assert_one_verdict_each(assay, keys, 120)


@pytest.mark.slow
def test_what_no_event_tells_of_is_found_by_the_sweep(assay: AssayUp) -> None:
    bucket = assay.addresses.upload_bucket
    events = assay.s3.get_bucket_notification_configuration(Bucket=bucket)
    queues = events["QueueConfigurations"]
    assert queues
    assay.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        assert_one_verdict_each(assay, put_images(assay, 30, "swept"), 120)
    finally:
        assay.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues}
        )
