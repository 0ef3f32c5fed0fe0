"""`assay setup`: what must hold before anything else starts; run at every start, it changes nothing twice."""

import sys
from collections.abc import Collection
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import ClientError
from sqlalchemy import select

from infra.cli.environment import load_settings
from worker.database import migrate
from worker.database.api_keys import Scope, fingerprint
from worker.database.audit import Actor, record
from worker.database.session import Database, connect
from worker.database.tables import ApiKey
from worker.objects.object_store import s3_client
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
_KEYS = {"ingest_key": ("object store", Scope.INGEST), "admin_key": ("operator", Scope.ADMIN)}


def setup(
    events_to: Annotated[
        str | None,
        typer.Option(help="ARN that the upload buckets' events go to: a queue's, or that of a webhook target."),
    ] = None,
) -> None:
    """Bring the database to the newest migration, register the keys of `assay init`, make buckets and notification."""
    settings = load_settings()
    database = connect(settings.database_url.get_secret_value())
    migrate.upgrade(database)
    registered = register_keys(database, settings.secrets_dir)
    made = make_buckets(s3_client(settings), settings, events_to)
    print(f"the database is at the newest migration; new keys: {registered}; new buckets: {made}", file=sys.stderr)


def register_keys(database: Database, folder: Path) -> list[str]:
    """Register the keys whose files lie in the folder; return the names of those that were unknown.

    A key that was revoked stays revoked.
    """
    new = []
    for file, (name, scope) in _KEYS.items():
        if not (folder / file).is_file():
            continue
        hashed = fingerprint((folder / file).read_text(encoding="utf-8").strip())
        with database.transaction() as session:
            if session.scalar(select(ApiKey.id).where(ApiKey.hash == hashed)) is None:
                row = ApiKey(name=name, hash=hashed, scopes=[scope.value])
                session.add(row)
                session.flush()
                record(session, Actor("assay"), "key.create", f"key:{row.id}", scopes=row.scopes)
                new.append(name)
    return new


def make_buckets(s3: "S3Client", settings: Settings, events_to: str | None) -> list[str]:
    """Make missing buckets, those for uploads with versions, and send the uploads' events on; return the new buckets.

    A bucket that is there belongs to somebody: to keep versions in it is for its owner to say, and cannot be undone.
    """
    wanted = {*settings.upload_buckets, settings.artifact_bucket}
    new = [bucket for bucket in sorted(wanted) if not _exists(s3, bucket)]
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
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
            raise
        return False
    return True


def _send_events(s3: "S3Client", bucket: str, arn: str, events: Collection[str]) -> None:
    present = s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])
    # Setting it again would send another test event each time; what others have set stays.
    if not any(found["QueueArn"] == arn and set(found["Events"]) >= set(events) for found in present):
        ours = {"Id": "assay", "QueueArn": arn, "Events": list(events)}
        others = [found for found in present if found["QueueArn"] != arn]
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"QueueConfigurations": [*others, ours]},  # type: ignore[list-item]
        )
