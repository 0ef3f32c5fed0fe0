"""`assay setup`: what it makes once, what it leaves alone, and that doing it again changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.cli.init import write_secrets
from infra.cli.setup import register_keys
from tests.conftest import Buckets
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.objects.buckets import make_buckets
from worker.settings import Settings


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    write_secrets(tmp_path)
    return tmp_path


def test_the_keys_of_init_open_what_they_are_for(database: Database, secrets: Path) -> None:
    assert register_keys(database, secrets) == ["object store", "operator"]
    keys = ApiKeys(database)
    posting = keys.verify((secrets / "ingest_key").read_text())
    operating = keys.verify((secrets / "admin_key").read_text())
    assert posting is not None
    assert operating is not None
    assert (posting.may(Scope.INGEST), posting.may(Scope.READ)) == (True, False)
    assert operating.may(Scope.ADMIN)


def test_a_key_that_was_revoked_is_not_brought_back(database: Database, secrets: Path) -> None:
    register_keys(database, secrets)
    keys = ApiKeys(database)
    for key in keys.list():
        keys.revoke(key.id)
    assert register_keys(database, secrets) == []
    assert keys.verify((secrets / "admin_key").read_text()) is None


def test_a_new_key_is_registered_beside_the_former(database: Database, secrets: Path) -> None:
    register_keys(database, secrets)
    former = (secrets / "ingest_key").read_text()
    (secrets / "ingest_key").unlink()
    write_secrets(secrets)
    assert register_keys(database, secrets) == ["object store"]
    keys = ApiKeys(database)
    assert keys.verify(former) is not None
    assert keys.verify((secrets / "ingest_key").read_text()) is not None


def test_buckets_are_made_with_versions_and_their_events_and_a_second_time_changes_nothing(
    object_store: Buckets,
) -> None:
    queue = object_store.sqs.get_queue_attributes(QueueUrl=object_store.queue_url, AttributeNames=["QueueArn"])
    arn = queue["Attributes"]["QueueArn"]
    uploads, artifacts = f"new-{object_store.uploads}", f"new-{object_store.artifacts}"
    settings = Settings.model_validate({"upload_buckets": [uploads], "artifact_bucket": artifacts})
    s3 = object_store.s3
    assert make_buckets(s3, settings, arn) == sorted([uploads, artifacts])
    assert make_buckets(s3, settings, arn) == []
    assert s3.get_bucket_versioning(Bucket=uploads)["Status"] == "Enabled"
    rules = s3.get_bucket_notification_configuration(Bucket=uploads)["QueueConfigurations"]
    assert [found["QueueArn"] for found in rules] == [arn]
    # What Assay writes itself must never come back as an event.
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=artifacts)


def test_a_platform_s_own_buckets_are_left_as_they_are_by_a_role_that_may_not_change_them(
    object_store: Buckets,
) -> None:
    s3 = object_store.s3
    asked: list[str] = []
    settings = Settings.model_validate(
        {"upload_buckets": [object_store.plain], "artifact_bucket": object_store.artifacts}
    )

    def note(model: Any, **_: Any) -> None:
        asked.append(model.name)

    s3.meta.events.register("before-call.s3", note, unique_id="asked")
    assert make_buckets(s3, settings, None) == []
    s3.meta.events.unregister("before-call.s3", unique_id="asked")
    # What infra/aws grants; to keep versions from now on is for the bucket's owner to say, and cannot be undone.
    assert asked == ["HeadBucket", "HeadBucket"]
    assert "Status" not in s3.get_bucket_versioning(Bucket=object_store.plain)


def test_notifications_of_others_are_kept(object_store: Buckets) -> None:
    other = object_store.sqs.create_queue(QueueName=f"other-of-{object_store.uploads}")["QueueUrl"]
    arns = [
        object_store.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        for url in (object_store.queue_url, other)
    ]
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arns[1]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    object_store.sqs.set_queue_attributes(QueueUrl=other, Attributes={"Policy": policy})
    settings = Settings.model_validate(
        {"upload_buckets": [object_store.uploads], "artifact_bucket": object_store.artifacts}
    )
    make_buckets(object_store.s3, settings, arns[1])
    rules = object_store.s3.get_bucket_notification_configuration(Bucket=object_store.uploads)["QueueConfigurations"]
    assert {found["QueueArn"] for found in rules} == set(arns)
