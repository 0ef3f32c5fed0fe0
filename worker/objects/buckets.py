"""The buckets that Assay needs: made where they are missing, their events sent on."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from worker.objects.trouble import Meaning, meaning_of, name_trouble
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


def make_buckets(s3: "S3Client", settings: Settings, events_to: str | None) -> list[str]:
    """Make missing buckets, those for uploads with versions, and send the uploads' events on; return the new buckets.

    A bucket that is there belongs to somebody: to keep versions in it is for its owner to say, and cannot be undone.

    Raises:
        RefusedError: the store refuses to make a bucket or to tell of its events.
        ObjectStoreDownError: the store does not answer.
    """
    names = {*settings.upload_buckets, settings.artifact_bucket}
    with name_trouble(f"buckets {', '.join(sorted(names))}", may_be_gone=False):
        new = [bucket for bucket in sorted(names) if not _exists(s3, bucket)]
        for bucket in new:
            s3.create_bucket(Bucket=bucket)
            if bucket in settings.upload_buckets:
                s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for bucket in settings.upload_buckets if events_to else ():
            _send_events(s3, bucket, str(events_to), _EVENTS)
        return new


def _exists(s3: "S3Client", bucket: str) -> bool:
    """Ask for the bucket alone: a role that may list all of an account's buckets is wider than Assay needs."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if meaning_of(error) is Meaning.GONE:
            return False
        raise
    return True


def _send_events(s3: "S3Client", bucket: str, arn: str, events: Collection[str]) -> None:
    present = s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])
    # Setting it again would send another test event each time; what others have set stays.
    if not any(rule["QueueArn"] == arn and set(rule["Events"]) >= set(events) for rule in present):
        ours = {"Id": "assay", "QueueArn": arn, "Events": list(events)}
        others = [rule for rule in present if rule["QueueArn"] != arn]
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"QueueConfigurations": [*others, ours]},  # type: ignore[list-item]
        )
