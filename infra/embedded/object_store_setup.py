"""What must hold in the object store before anybody uses it: buckets, queues, and events from one to the other.

Asserted at every start, because the server forgets part of it when it is killed.
"""

import json
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

UPLOAD_BUCKET = "uploads"
ARTIFACT_BUCKET = "assay-artifacts"
QUEUE = "assay-uploads"
DEAD_LETTER_QUEUE = "assay-uploads-dead"
_EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
_RETENTION = str(14 * 24 * 3600)  # the longest that SQS offers


class ObjectStoreSetup:
    """Makes what is missing and leaves the rest alone."""

    def __init__(self, endpoint_url: str, region: str, access_key: str, secret_key: str) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._access_key = access_key
        self._secret_key = secret_key

    def make_sure(self) -> None:
        """Assert buckets, versioning, queues, their policy, and the notification.

        Raises:
            botocore.exceptions.BotoCoreError: If the store does not answer.
            ClientError: If it refuses.
        """
        # Whatever AWS profile the user has set is meant for other commands.
        bare = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
        session = boto3.session.Session(
            aws_access_key_id=self._access_key,
            aws_secret_access_key=self._secret_key,
            region_name=self._region,
            botocore_session=bare,
        )
        config = Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 1}, proxies={})
        s3 = session.client("s3", endpoint_url=self._endpoint_url, config=config)
        sqs = session.client("sqs", endpoint_url=self._endpoint_url, config=config)
        existing = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for bucket in {UPLOAD_BUCKET, ARTIFACT_BUCKET} - existing:
            s3.create_bucket(Bucket=bucket)
        if s3.get_bucket_versioning(Bucket=UPLOAD_BUCKET).get("Status") != "Enabled":
            s3.put_bucket_versioning(Bucket=UPLOAD_BUCKET, VersioningConfiguration={"Status": "Enabled"})
        _make_sure_of_events(s3, _make_sure_of_queues(sqs))


def _make_sure_of_queues(sqs: "SQSClient") -> str:
    """Make the queue and its dead-letter queue; returns the queue's ARN."""
    _, dead_arn = _make_sure_of_queue(sqs, DEAD_LETTER_QUEUE)
    url, arn = _make_sure_of_queue(sqs, QUEUE)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{UPLOAD_BUCKET}"}},
    }
    sqs.set_queue_attributes(
        QueueUrl=url,
        Attributes={
            # What a killed listener held waits so long; ten objects are registered in far less.
            "VisibilityTimeout": "15",
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": "10"}),
            "Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        },
    )
    return arn


def _make_sure_of_queue(sqs: "SQSClient", name: str) -> tuple[str, str]:
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if "NonExistentQueue" not in error.response["Error"]["Code"]:
            raise
        url = sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": _RETENTION})["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def _make_sure_of_events(s3: "S3Client", queue_arn: str) -> None:
    uploads = {"Id": "assay-uploads", "QueueArn": queue_arn, "Events": _EVENTS}
    present = s3.get_bucket_notification_configuration(Bucket=UPLOAD_BUCKET).get("QueueConfigurations", [])
    # Setting it again would send another test event at every start.
    if not any(rule["QueueArn"] == queue_arn and set(rule["Events"]) >= set(_EVENTS) for rule in present):
        s3.put_bucket_notification_configuration(
            Bucket=UPLOAD_BUCKET,
            NotificationConfiguration={"QueueConfigurations": [uploads]},  # type: ignore[list-item]
        )
