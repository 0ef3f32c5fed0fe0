"""Equal and similar images in a real Postgres."""

import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from tests.conftest import Scanned
from tests.integration.api.conftest import Rows
from worker.database import duplicates as duplicates_in_store
from worker.database.audit import Actor
from worker.database.duplicates import Duplicates, found_near, near_statement
from worker.database.erasure import Erasure
from worker.database.scans import ImageFacts, Lease, Scans
from worker.database.session import Database
from worker.database.tables import Image, Verdict
from worker.decisions.near_hashes import HASH_BITS, bands_of

pytestmark = pytest.mark.integration

ZEROS = "0" * HASH_BITS
FACTS = ImageFacts(sha256="ab" * 32, size_bytes=7, width=3, height=2, pdq="10" * 128)


def flipped(count: int, seed: int = 0) -> str:
    places = set(random.Random(seed).sample(range(HASH_BITS), count))  # noqa: S311 - bits of a test's picture
    return "".join("1" if place in places else "0" for place in range(HASH_BITS))


def hashed(rows: Rows, image_id: str, bits: str | None) -> int:
    return rows.image(image_id, pdq=bits, pdq_bands=None if bits is None else bands_of(bits))


def test_similar_images_are_listed_nearest_first_and_no_others(database: Database, rows: Rows) -> None:
    hashed(rows, "asked", ZEROS)
    for distance in (31, 0, 12, 32, 100):
        hashed(rows, f"at {distance}", flipped(distance))
    hashed(rows, "plain", None)
    duplicates = Duplicates(database)
    near = duplicates.near("asked", most_distance=31, limit=10)
    assert near is not None
    assert [(one.image.image_id, one.distance) for one in near] == [("at 0", 0), ("at 12", 12), ("at 31", 31)]
    closer = duplicates.near("asked", most_distance=11, limit=10)
    assert [one.image.image_id for one in closer or ()] == ["at 0"]
    assert len(duplicates.near("asked", most_distance=31, limit=2) or ()) == 2
    assert duplicates.near("plain", most_distance=31, limit=10) == []
    assert duplicates.near("nobody", most_distance=31, limit=10) is None


def test_the_very_same_file_is_listed_also_where_the_picture_is_too_plain_for_a_hash(
    database: Database, rows: Rows
) -> None:
    for image_id, sha256, bits in (
        ("asked", "ab", None),
        ("same", "ab", None),
        ("other", "cd", None),
        ("hashed", "ef", ZEROS),
        ("same hashed", "ef", ZEROS),
        ("alike", "01", flipped(3)),
    ):
        rows.image(image_id, sha256=sha256, pdq=bits, pdq_bands=None if bits is None else bands_of(bits))
    rows.image("not fetched yet")
    duplicates = Duplicates(database)

    def listed(image_id: str) -> list[tuple[str, int, bool]]:
        near = duplicates.near(image_id, most_distance=31, limit=10) or ()
        return [(one.image.image_id, one.distance, one.same_bytes) for one in near]

    assert listed("asked") == [("same", 0, True)]
    assert listed("hashed") == [("same hashed", 0, True), ("alike", 3, False)]
    assert listed("not fetched yet") == []


def test_a_page_full_of_the_very_same_file_costs_no_search_by_hash(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        rows.image(str(number), sha256="ab", pdq=ZEROS, pdq_bands=bands_of(ZEROS))

    def searched(*_: object) -> None:
        raise AssertionError("the page was full")

    monkeypatch.setattr(duplicates_in_store, "found_near", searched)
    near = Duplicates(database).near("0", most_distance=31, limit=2)
    assert [one.image.image_id for one in near or ()] == ["2", "1"]


@pytest.mark.parametrize("seed", range(10))
def test_whichever_bits_differ_an_image_within_reach_is_found(database: Database, rows: Rows, seed: int) -> None:
    hashed(rows, "asked", ZEROS)
    hashed(rows, "other", flipped(31, seed))
    assert len(Duplicates(database).near("asked", most_distance=31, limit=10) or ()) == 1


def test_a_search_for_similar_images_reads_the_index(database: Database) -> None:
    rng = random.Random(1)  # noqa: S311 - hashes of no picture
    made: list[dict[str, Any]] = []
    for number in range(3000):
        bits = f"{rng.getrandbits(HASH_BITS):0{HASH_BITS}b}"
        named = {"image_id": str(number), "source": "s", "bucket": "b", "key": str(number), "version": "1"}
        made.append({**named, "versioned": True, "pdq": bits, "pdq_bands": bands_of(bits)})
    with database.transaction() as session:
        session.execute(insert(Image), made)
        session.execute(text("ANALYZE image"))
        image = session.get_one(Image, 1)
        assert found_near(session, image, 31, 10) == []
        compiled = near_statement(1, made[0]["pdq"], 31, 10).compile(database.engine)
        plan = session.connection().exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).scalars().all()
    assert any("ix_image_pdq_bands" in line for line in plan), plan


FRAMES = {
    "count": 24,
    "judged": [0, 12],
    "deciding": {"number": 0, "at_ms": 0.0, "probability": 0.1},
    "gravest": {"number": 12, "at_ms": 1200.0, "probability": 0.99},
    "first_alone": False,
}


def verdict_columns(lease: Lease, **columns: Any) -> dict[str, Any]:
    return {
        "verdict": "uncertain",
        "decided_by": "machine",
        "probability": 0.5,
        "detectors": {"clip": {"logit": 0.0, "probability": 0.5}},
        "provenance": {},
        "bundle_version": lease.bundle_version,
        "policy_version": lease.policy.version,
        **columns,
    }


def scanned_once(
    scanned: Scanned,
    key: str,
    *,
    duplicate_of: int | None = None,
    heatmaps: bool = True,
    facts: ImageFacts = FACTS,
    **columns: Any,
) -> Lease:
    scan_id = scanned.arrive(key)
    scanned.dispatch()
    scans = Scans(scanned.database)
    lease = scans.lease(scan_id, 60)
    assert lease is not None
    by_duplicate = {} if duplicate_of is None else {"duplicate_of": duplicate_of, "decided_by": "duplicate"}
    verdict = verdict_columns(lease, **{**by_duplicate, **columns})
    named = {"detector": "clip", "method": "grad-cam", "layer": "ln_1", "bundle_version": lease.bundle_version}
    drawn = [{**named, "key": f"{key}.png", "raw_key": f"{key}.npy"}] if heatmaps else []
    scans.complete(lease, verdict, drawn, facts, {})
    return lease


def test_what_equal_bytes_got_is_found_by_bundle_and_policy(scanned: Scanned) -> None:
    scanned.crown("b1")
    duplicates = Duplicates(scanned.database)
    assert duplicates.original(FACTS.sha256, "b1", 1) is None
    scanned_once(scanned, "a.png")
    found = duplicates.original(FACTS.sha256, "b1", 1)
    assert found is not None
    assert (found.probability, found.facts) == (0.5, FACTS)
    assert [(heatmap["key"], heatmap["raw_key"]) for heatmap in found.heatmaps] == [("a.png.png", "a.png.npy")]
    assert duplicates.original(FACTS.sha256, "b2", 1) is None
    assert duplicates.original(FACTS.sha256, "b1", 2) is None
    assert duplicates.original("cd" * 32, "b1", 1) is None
    scanned_once(scanned, "b.png", duplicate_of=found.verdict_id)
    assert duplicates.original(FACTS.sha256, "b1", 1) == found


def test_what_an_animation_that_breaks_off_got_is_found_whole(scanned: Scanned) -> None:
    scanned.crown("b1")
    facts = replace(FACTS, truncated=True)
    lease = scanned_once(scanned, "a.gif", facts=facts, frames=FRAMES, frame_key="heatmaps/1/1/frame.png")
    found = Duplicates(scanned.database).original(FACTS.sha256, "b1", 1)
    assert found is not None
    assert (found.facts, found.frames, found.frame_key) == (facts, FRAMES, "heatmaps/1/1/frame.png")
    Erasure(scanned.database, "artifacts").erase(Actor("test"), "a.gif")
    with scanned.database.transaction() as session:
        verdict = session.scalars(select(Verdict).where(Verdict.image_pk == lease.image.id)).one()
        assert (verdict.frames, verdict.frame_key) == (FRAMES, None)


def test_an_erased_image_s_verdict_is_nobody_s_original_and_its_hash_is_gone(scanned: Scanned) -> None:
    scanned.crown("b1")
    scanned_once(scanned, "a.png")
    actor = Actor("test")
    assert Erasure(scanned.database, "artifacts").erase(actor, "a.png") == 1
    assert Duplicates(scanned.database).original(FACTS.sha256, "b1", 1) is None
    with scanned.database.transaction() as session:
        image = session.get(Image, 1)
        assert image is not None
        assert (image.pdq, image.pdq_bands) == (None, None)
