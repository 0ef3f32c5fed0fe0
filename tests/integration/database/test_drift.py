"""Drift on a real Postgres: a day against the weeks before, by source; canaries are judged and counted."""

from typing import Any

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from tests.integration.api.conftest import BUNDLE, Rows
from worker.database.audit import Actor
from worker.database.drift import DriftMeasures
from worker.database.promotion import Bundles
from worker.database.rescans import Rescans
from worker.database.session import Database
from worker.duties.drift import MeasureDrift

pytestmark = pytest.mark.integration

DISAGREE = {"clip": {"logit": 2.0, "probability": 0.9}, "convnext": {"logit": -2.0, "probability": 0.1}}
AGREE = {"clip": {"logit": 2.0, "probability": 0.9}, "convnext": {"logit": 2.0, "probability": 0.9}}


@pytest.fixture
def champion(rows: Rows, database: Database) -> None:
    assert rows
    Bundles(database).promote(Actor("me"), BUNDLE, "first")


def judged(rows: Rows, count: int, days_ago: int, **columns: Any) -> None:
    source = columns.pop("source", "posts")
    for number in range(count):
        image = rows.image(f"{source}-{days_ago}-{number}", source=source)
        when = text(f"now() - interval '{days_ago} days'")
        rows.verdict(image, source=source, created_at=when, **columns)


@pytest.mark.usefixtures("champion")
def test_a_source_that_changed_shows_and_one_that_did_not_does_not(rows: Rows, database: Database) -> None:
    judged(rows, 220, days_ago=3, probability=0.2, detectors=AGREE)
    judged(rows, 210, days_ago=0, probability=0.8, detectors=DISAGREE)
    judged(rows, 200, days_ago=3, probability=0.5, detectors=AGREE, source="avatars")
    judged(rows, 200, days_ago=0, probability=0.5, detectors=AGREE, source="avatars")
    drift = DriftMeasures(database)
    found = drift.measure()
    assert (found["posts"]["images"], found["posts"]["reference_images"]) == (210, 220)
    assert found["avatars"]["psi"] == pytest.approx(0.0)
    assert found["posts"]["psi"] > 0.25
    assert (found["posts"]["disagreement"], found["posts"]["disagreement_before"]) == (1.0, 0.0)
    drift.measure()
    rows_kept = drift.page(days=7)
    assert [row.source for row in rows_kept] == ["avatars", "posts"]
    assert rows_kept[1].measures["uncertain"] == 1.0
    assert [row.source for row in drift.page(days=7, source="posts")] == ["posts"]


@pytest.mark.usefixtures("champion")
def test_what_the_detector_sees_is_compared_where_it_is_kept(rows: Rows, database: Database) -> None:
    judged(rows, 100, days_ago=3, probability=0.2)
    judged(rows, 100, days_ago=0, probability=0.2)
    keep = text(
        "INSERT INTO feature (image_pk, bundle_version, features, logits, covariates, created_at) "
        "SELECT image_pk, bundle_version, CASE WHEN created_at < now() - interval '1 day' THEN :old ELSE :new END"
        " || CASE WHEN id % 2 = 0 THEN '\\x0000'::bytea ELSE '\\x003c'::bytea END, '{}', '{}', created_at FROM verdict"
    )
    with database.transaction() as session:
        session.execute(keep, {"old": b"\x00\x00", "new": b"\x00\x00"})
    assert DriftMeasures(database).measure()["posts"]["feature_shift"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.usefixtures("champion")
def test_features_of_each_source_are_compared_with_its_own(rows: Rows, database: Database) -> None:
    for source in ("moved", "still"):
        judged(rows, 100, days_ago=3, probability=0.2, source=source)
        judged(rows, 100, days_ago=0, probability=0.2, source=source)
    judged(rows, 99, days_ago=0, probability=0.2, source="few")
    # One feature, 0 or 1; of the source that moved 1 or 2 today.
    keep = text(
        "INSERT INTO feature (image_pk, bundle_version, features, logits, covariates, created_at) "
        "SELECT image_pk, bundle_version, "
        "(ARRAY['\\x0000', '\\x003c', '\\x0040']::bytea[])"
        "[1 + id % 2 + (source = 'moved' AND created_at > now() - interval '1 day')::int], "
        "'{}', '{}', created_at FROM verdict"
    )
    with database.transaction() as session:
        session.execute(keep)
        card = {"features": {"images": 400, "mean": [2.5], "deviation": [2.0]}}
        session.execute(text("UPDATE bundle SET card = :card").bindparams(bindparam("card", card, JSONB)))
    found = DriftMeasures(database).measure()
    assert (found["still"]["calibration_shift"], found["moved"]["calibration_shift"]) == pytest.approx((1.0, 0.5))
    assert found["still"]["feature_shift"] == pytest.approx(0.0, abs=1e-6)
    assert found["moved"]["feature_shift"] == pytest.approx(2.0, abs=1e-6)
    assert found["few"]["feature_shift"] is None


@pytest.mark.usefixtures("champion")
def test_canaries_are_judged_by_the_champion_and_the_flagged_are_counted(rows: Rows, database: Database) -> None:
    judged(rows, 3, days_ago=60, probability=0.2, source="canaries")
    judged(rows, 1, days_ago=61, probability=0.95, verdict="ai_generated", source="canaries")
    fresh = rows.image("fresh", source="canaries", created_at=text("now() - interval '1 hour'"))
    rescans = Rescans(database)
    duty = MeasureDrift(DriftMeasures(database, "canaries"), rescans, "canaries")
    duty()
    (row,) = DriftMeasures(database).page(days=1)
    assert row.measures["canary"] == {"images": 4, "flagged": 1, "rate": 0.25}
    with database.transaction() as session:
        session.execute(text("UPDATE rescan SET stepped_at = now() - interval '5 seconds'"))
    rescans.step()
    with database.transaction() as session:
        made = session.execute(text("SELECT image_pk, kind FROM scan")).all()
    assert [tuple(one) for one in made] == [(fresh, "rescan")]
    duty()
    assert len(rescans.page(limit=9)) == 2


def test_without_a_champion_there_is_nothing_to_measure(database: Database) -> None:
    assert DriftMeasures(database).measure() == {}
    MeasureDrift(DriftMeasures(database, "canaries"), Rescans(database), "canaries")()
