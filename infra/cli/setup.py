"""`assay setup`: what must hold before anything else starts; run at every start, it changes nothing twice."""

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy import select

from infra.cli.environment import load_settings
from worker.fetch import s3_client
from worker.settings import Settings
from worker.store import migrate
from worker.store.api_keys import Scope, fingerprint
from worker.store.audit import Actor, record
from worker.store.session import Database, connect
from worker.store.tables import ApiKey

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
    """Make missing buckets, keep versions of uploads, and send the uploads' events on; return the new buckets."""
    known = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    new = sorted({*settings.upload_buckets, settings.artifact_bucket} - known)
    for bucket in new:
        s3.create_bucket(Bucket=bucket)
    for bucket in settings.upload_buckets:
        if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        if events_to:
            _send_events(s3, bucket, events_to, _EVENTS)
    return new


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
