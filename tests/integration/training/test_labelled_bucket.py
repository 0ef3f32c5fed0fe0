"""Training data out of the store, with people's labels out of the database."""

from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, text

from tests.conftest import Buckets
from training.data.collection import DataError, Entry, open_parquet
from training.retraining.labelled_bucket import local_data
from worker.database.session import Database
from worker.database.tables import Image, Label
from worker.settings import Settings

pytestmark = pytest.mark.integration


def registered(database: Database, buckets: Buckets, key: str, *labels: str, body: bytes = b"picture") -> int:
    """Upload an image, register it and label it as often as said."""
    version = buckets.put(buckets.uploads, key, body)["VersionId"]
    columns = {"image_id": key, "source": "reviews", "bucket": buckets.uploads, "key": key, "version": version}
    columns["sha256"] = sha256(key.encode()).hexdigest()[:56] + "f" * 8  # the audit slice begins at nought
    with database.transaction() as session:
        image = session.scalars(insert(Image).values(**columns, versioned=True).returning(Image.id)).one()
        for label in labels:
            for reviewer in ("maria", "ali"):
                session.execute(insert(Label).values(image_pk=image, label=label, reviewer=reviewer, reason="seen"))
    return image


def test_labelled_images_below_a_prefix_become_a_collection(
    database: Database, database_url: str, object_store: Buckets, stack_settings: Settings, tmp_path: Path
) -> None:
    settings = stack_settings.model_copy(update={"database_url": SecretStr(database_url)})
    registered(database, object_store, "set_a/a b+ü%.jpg", "ai_generated", body=b"one")
    registered(database, object_store, "set_a/b.jpg", "ai_generated", "not_ai_generated", body=b"two")
    registered(database, object_store, "set_a/unlabelled.jpg")
    registered(database, object_store, "setXa/elsewhere.jpg", "ai_generated")
    alone = registered(database, object_store, "set_a/one reviewer.jpg")
    disputed = registered(database, object_store, "set_a/disputed.jpg", "ai_generated")
    unseen = registered(database, object_store, "set_a/unseen.jpg", "ai_generated")
    audited = registered(database, object_store, "set_a/audited.jpg", "ai_generated")
    erased = registered(database, object_store, "set_a/erased.jpg", "ai_generated")
    gone = registered(database, object_store, "set_a/gone.jpg", "ai_generated")
    with database.transaction() as session:
        session.execute(insert(Label).values(image_pk=alone, label="ai_generated", reviewer="maria", reason="seen"))
        session.execute(insert(Label).values(image_pk=disputed, label="not_ai_generated", reviewer="eve", reason="no"))
        session.execute(text("UPDATE image SET sha256 = :sha WHERE id = :id"), {"id": audited, "sha": "0" * 64})
        session.execute(text("UPDATE image SET sha256 = NULL WHERE id = :id"), {"id": unseen})
        session.execute(text("UPDATE image SET erased_at = now() WHERE id = :id"), {"id": erased})
        session.execute(text("UPDATE image SET version = 'never' WHERE id = :id"), {"id": gone})
    place = f"s3://{object_store.uploads}/set_a"
    collection = open_parquet(local_data(place, tmp_path, settings))
    assert collection.entries == (
        Entry("set_a/a b+ü%.jpg", 1, "reviews", "unknown"),
        Entry("set_a/b.jpg", 0, "reviews", "real"),
    )
    assert list(collection.read([0, 1])) == [b"one", b"two"]
    assert local_data(place, tmp_path, settings).name == next(tmp_path.iterdir()).name
    registered(database, object_store, "set_a/c.jpg", "not_ai_generated")
    assert len(open_parquet(local_data(place, tmp_path, settings)).entries) == 3


def test_a_prefix_without_labels_says_what_to_do(
    database_url: str, object_store: Buckets, stack_settings: Settings, tmp_path: Path
) -> None:
    settings = stack_settings.model_copy(update={"database_url": SecretStr(database_url)})
    with pytest.raises(DataError, match="2 reviewers agree; label images"):
        local_data(f"s3://{object_store.uploads}/none", tmp_path, settings)


def test_a_path_stays_a_path(stack_settings: Settings, tmp_path: Path) -> None:
    assert Path("data/x") == local_data("data/x", tmp_path, stack_settings)
