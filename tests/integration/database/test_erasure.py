"""Erasure takes everything that names an image or a person, for good, and leaves figures and a trace."""

from typing import Any

import pytest
from sqlalchemy import select, text

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.appeals import Appeals
from worker.database.audit import Actor, Audit
from worker.database.changes import Changes
from worker.database.erasure import Erasure
from worker.database.features import StoredFeatures
from worker.database.features import put as put_features
from worker.database.fetches import Fetches
from worker.database.idempotency import Idempotency
from worker.database.labels import Labels
from worker.database.pending_deletions import PendingDeletions
from worker.database.retention import Retentions, RetentionTerms
from worker.database.served import Queries
from worker.database.session import Database
from worker.database.tables import Base, Heatmap, Image, LabelValue, Scan, ScanState, Verdict
from worker.decisions.vocabulary import DecidedBy
from worker.duties.deletions import DeleteObjects
from worker.duties.retention import Drops, Retain
from worker.ingest.events import ObjectCreated
from worker.ingest.register import Register
from worker.ingest.sweep import Sweep
from worker.objects.clients import s3_client
from worker.objects.object_store import ObjectStore
from worker.objects.transfer import transfer
from worker.settings import Settings

pytestmark = pytest.mark.integration

ME = Actor("me", request_id="r1")
SECRETS = (
    "I took it myself",
    "user-42",
    "what it saw",
    "user-4711",
    "portrait.jpg",
    "maria",
    "her own words",
    "a prompt",
    "ab" * 32,
)


def everything(database: Database) -> str:
    """Every row of every table, as text."""
    with database.engine.connect() as connection:
        tables = Base.metadata.sorted_tables
        return "\n".join(str(row) for table in tables for row in connection.execute(select(table)))


def known(database: Database, rows: Rows, **columns: Any) -> int:
    """Make an image with all that may be known of it."""
    image = rows.image("user-4711", key="portrait.jpg", sha256="ab" * 32, size_bytes=9, **columns)
    scan = rows.scan(image, ScanState.LEASED, detail="uploads/portrait.jpg is slow", due_at="2030-01-01T00:00:00Z")
    verdict = rows.verdict(image, scan_id=scan, provenance={"generator": "a prompt"}, probability=0.75)
    rows.heatmap(verdict, "clip", key=f"heatmaps/{image}/{scan}/clip.png")
    Appeals(database).add(ME, "user-4711", reason="I took it myself", contact="user-42")
    Labels(database).add(ME, "user-4711", LabelValue.AI_GENERATED, reviewer="maria", reason="her own words")
    with database.transaction() as session:
        put_features(session, image, BUNDLE, StoredFeatures(b"what it saw", {"clip": 1.0}, (0.5, 0.5)))
    return image


def test_nothing_that_names_the_image_or_a_person_is_left(database: Database, rows: Rows) -> None:
    image = known(database, rows)
    assert [secret for secret in SECRETS if secret not in everything(database)] == []
    assert Erasure(database, "artifacts").erase(ME, "user-4711") == 1
    assert [secret for secret in SECRETS if secret in everything(database)] == []
    with database.transaction() as session:
        tombstone = session.get_one(Image, image)
        machine = session.scalars(select(Verdict).where(Verdict.decided_by == DecidedBy.MACHINE)).one()
        scan = session.scalars(select(Scan)).one()
        assert session.scalars(select(Heatmap)).all() == []
    assert tombstone.erased_at is not None
    assert (machine.probability, scan.state, scan.lease_token) == (0.75, "rejected", None)
    assert Queries(database).served("user-4711") is None
    (entry,) = Audit(database).page(limit=1)
    assert (entry.action, entry.target, entry.request_id) == ("image.erase", f"image:{image}", "r1")
    assert Erasure(database, "artifacts").erase(ME, "user-4711") == 0


def test_verdicts_are_append_only_again_afterwards(database: Database, rows: Rows) -> None:
    known(database, rows)
    Erasure(database, "artifacts").erase(ME, "user-4711")
    with database.transaction() as session:
        assert session.scalar(text("SELECT current_setting('assay.erasing', true)")) in {"", "off", None}


def test_objects_go_and_neither_event_nor_sweep_brings_the_image_back(
    database: Database, object_store: Any, stack_settings: Settings
) -> None:
    objects = ObjectStore(s3_client(stack_settings))
    bucket, artifacts = object_store.plain, object_store.artifacts
    register = Register(database, objects, upload_buckets=[bucket], artifact_bucket=artifacts)
    event = ObjectCreated(bucket, ("kept.jpg",), None, object_store.put(bucket, "kept.jpg")["ETag"].strip('"'))
    registered = register(event)
    assert registered is not None
    artifact = f"heatmaps/{registered.image_pk}/1/clip.png"
    for key in (artifact, f"heatmaps/{registered.image_pk}0/1/clip.png"):
        object_store.put(artifacts, key)
    Erasure(database, artifacts).erase(ME, "kept.jpg")
    assert DeleteObjects(PendingDeletions(database), transfer(stack_settings))() == 2
    listed = [found["Key"] for found in object_store.s3.list_objects_v2(Bucket=artifacts)["Contents"]]
    assert listed == [f"heatmaps/{registered.image_pk}0/1/clip.png"]
    assert object_store.s3.get_object(Bucket=bucket, Key="kept.jpg")["Body"].read() == b"bytes"
    assert register(event) is None
    assert Sweep(database, objects, register, [bucket])() == 0


def test_what_was_uploaded_through_assay_is_deleted_with_all_its_versions(
    database: Database, object_store: Any, stack_settings: Settings
) -> None:
    objects = ObjectStore(s3_client(stack_settings))
    bucket = object_store.uploads
    register = Register(database, objects, upload_buckets=[bucket], artifact_bucket=object_store.artifacts)
    for body in (b"one", b"two"):
        stored = object_store.put(bucket, "api/x.jpg", body, {"image-id": "mine"})
        register(ObjectCreated(bucket, ("api/x.jpg",), stored["VersionId"], stored["ETag"].strip('"')))
    object_store.put(bucket, "api/x.jpg.other")
    assert Erasure(database, object_store.artifacts).erase(ME, "mine") == 2
    DeleteObjects(PendingDeletions(database), transfer(stack_settings))()
    left = object_store.s3.list_object_versions(Bucket=bucket)
    assert [found["Key"] for found in left["Versions"]] == ["api/x.jpg.other"]
    assert "DeleteMarkers" not in left


def test_retention_lets_go_of_what_is_too_old_and_of_nothing_else(database: Database, rows: Rows) -> None:
    old, young = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    rows.image("old", created_at=old)
    verdict = rows.verdict(rows.image("young", created_at=young))
    rows.heatmap(verdict, "clip", created_at=old, raw_key=f"{verdict}/clip.npy")
    rows.heatmap(verdict, "convnext", created_at=young)
    rows.policy()
    moving = rows.image("moving", created_at=young)
    rows.verdict(moving, frames={}, frame_key="old/frame.png", created_at=old)
    kept = rows.verdict(moving, frames={}, frame_key="young/frame.png", created_at=young, policy_version=2)
    retentions = Retentions(database, "artifacts")
    others: dict[str, Drops] = {"changes": Changes(database), "fetches": Fetches(database)}
    retain = Retain(retentions, Erasure(database, "artifacts"), Idempotency(database), Appeals(database), others)
    nothing = {"idempotency_keys": 0, "appeals": 0, "deliveries": 0, "changes": 0, "fetches": 0}
    assert retain() == nothing
    retentions.add(ME, RetentionTerms(image_days=365, heatmap_days=30, delivery_days=7))
    evidence = {"heatmaps": 1, "frames": 1, "thumbnails": 0}
    assert retain() == {
        "idempotency_keys": 0,
        "appeals": 0,
        "deliveries": 0,
        "changes": 0,
        "fetches": 0,
        **evidence,
        "images": 1,
    }
    queries = Queries(database)
    assert (queries.served("old"), queries.heatmap("young", "clip")) == (None, None)
    assert queries.heatmap("young", "convnext") is not None
    doomed = [entry.key for entry in PendingDeletions(database).take(9)]
    assert doomed == [f"{verdict}/clip", f"{verdict}/clip.npy", "old/frame.png", "heatmaps/1/", "thumbnails/1/"]
    with database.transaction() as session:
        assert session.scalars(select(Verdict.id).where(Verdict.frame_key.is_not(None))).all() == [kept]
