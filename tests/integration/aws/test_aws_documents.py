"""The documents of infra/aws: applied to a real S3 and SQS where it can do that, read and judged where it cannot."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import Buckets
from worker.ingest.events import parse_events

PROCESSES = ("api", "dispatcher", "listener", "worker", "training")
# What AWS asks for each call that boto3 makes for us (Service Authorization Reference, Amazon S3 and Amazon SQS).
NEEDS = {
    "get_object": {"s3:GetObject", "s3:GetObjectVersion"},
    "head_object": {"s3:GetObject", "s3:GetObjectVersion"},
    "download_file": {"s3:GetObject"},
    "generate_presigned_url": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "upload_fileobj": {"s3:PutObject"},
    "delete_objects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "head_bucket": {"s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "list_object_versions": {"s3:ListBucketVersions"},
    "get_bucket_versioning": {"s3:GetBucketVersioning"},
    "receive_message": {"sqs:ReceiveMessage"},
    "delete_message_batch": {"sqs:DeleteMessage"},
    "change_message_visibility_batch": {"sqs:ChangeMessageVisibility"},
}


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "infra" / "aws"


def read(folder: Path, name: str, **names: str) -> Any:
    text = (folder / name).read_text()
    for written, here in names.items():
        text = text.replace(written.replace("_", "-"), here)
    return json.loads(text)


def statements(folder: Path, process: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(folder, f"policy-{process}.json")["Statement"]
    return found


def test_an_upload_comes_out_of_the_queue_that_the_documents_describe(folder: Path, object_store: Buckets) -> None:
    name = f"documents-{uuid4().hex[:8]}"
    names = {"assay_uploads": name, "example_uploads": object_store.plain}
    s3, sqs = object_store.s3, object_store.sqs
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    queue = sqs.create_queue(QueueName=name, Attributes=read(folder, "queue-attributes.json", **names))["QueueUrl"]
    policy = json.dumps(read(folder, "queue-policy.json", **names))
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    notification = read(folder, "notification.json", **names)
    s3.put_bucket_notification_configuration(Bucket=object_store.plain, NotificationConfiguration=notification)

    object_store.put(object_store.plain, "dir/a b+ü%.jpg")
    bodies: list[str] = []
    for _ in range(10):
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        bodies += [message["Body"] for message in answer.get("Messages", [])]
        keys = [key for body in bodies for created in parse_events(body) for key in created.keys]
        if keys:
            break
    assert "dir/a b+ü%.jpg" in keys
    held = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    assert json.loads(held["RedrivePolicy"]) == {"deadLetterTargetArn": arn, "maxReceiveCount": "10"}
    assert held["VisibilityTimeout"] == "60"


def test_the_roles_grant_every_call_that_the_code_makes_and_nothing_more(folder: Path, repository: Path) -> None:
    code = "\n".join(
        path.read_text()
        for top in ("worker", "api", "training")
        for path in (repository / top).rglob("*.py")
        if path.name != "buckets.py"  # what `assay setup` does, as whoever owns the account
    )
    called = {name for name in NEEDS if re.search(rf'(client\.{name}\(|"{name}")', code)}
    needed = set().union(*(NEEDS[name] for name in called))
    granted = {action for process in PROCESSES for found in statements(folder, process) for action in found["Action"]}
    assert called == NEEDS.keys()
    assert granted == needed
    # And no call is made that the table above does not know.
    made = set(
        re.findall(
            r"\b_?(?:s3|sqs|client)\.((?:get|put|head|list|delete|copy|upload|download|receive|send)_\w+)\(", code
        )
    )
    assert made - NEEDS.keys() - {"get_paginator"} == set()


@pytest.mark.parametrize("process", PROCESSES)
def test_a_role_names_its_actions_and_its_own_buckets_and_queue(folder: Path, process: str) -> None:
    for found in statements(folder, process):
        assert found["Effect"] == "Allow"
        assert [action for action in found["Action"] if "*" in action] == []
        own = re.compile(
            r"arn:aws:(s3:::example-(uploads|assay-artifacts)(/(api/fetched/)?\*)?"
            r"|sqs:us-east-1:000000000000:assay-uploads)"
        )
        assert [resource for resource in found["Resource"] if not own.fullmatch(resource)] == []
        # Rights over a bucket and over its objects are different resources; a mixture grants nothing.
        of_bucket = {"s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketVersioning"}
        if found["Action"][0].startswith("s3:"):
            assert set(found["Action"]) <= of_bucket or set(found["Action"]) & of_bucket == set()
            assert {resource.endswith("/*") for resource in found["Resource"]} == {not set(found["Action"]) & of_bucket}


def test_who_may_do_what_is_kept_apart(folder: Path) -> None:
    def granted(process: str) -> set[tuple[str, str]]:
        return {
            (action, resource)
            for found in statements(folder, process)
            for action in found["Action"]
            for resource in found["Resource"]
        }

    uploads = "arn:aws:s3:::example-uploads/*"
    assert {process for process in PROCESSES if ("s3:PutObject", uploads) in granted(process)} == {"api"}
    assert {process for process in PROCESSES if ("s3:DeleteObject", uploads) in granted(process)} == {"dispatcher"}
    assert {process for process in PROCESSES if any("sqs:" in a for a, _ in granted(process))} == {"listener"}


def test_only_the_bucket_may_send_to_the_queue(folder: Path) -> None:
    [found] = read(folder, "queue-policy.json")["Statement"]
    assert found["Principal"] == {"Service": "s3.amazonaws.com"}
    assert found["Action"] == "sqs:SendMessage"
    assert found["Condition"].keys() == {"ArnLike", "StringEquals"}
