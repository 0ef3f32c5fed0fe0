"""The audit finds nothing in a sound database, and each violation by its own name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.conftest import Scanned
from tests.support.assay_up import process_environment
from worker.database.bundles import register_bundle
from worker.database.invariants import INVARIANTS, check_invariants
from worker.database.scans import ImageFacts, Scans
from worker.database.session import Database

pytestmark = pytest.mark.integration

VERDICT = (
    "INSERT INTO verdict (image_pk, scan_id, verdict, decided_by, probability, lower_threshold, upper_threshold, "
    "detectors, provenance, bundle_version, policy_version) SELECT image_pk, scan_id, verdict, decided_by, "
    "probability, lower_threshold, upper_threshold, detectors, provenance, {bundle}, policy_version "
    "FROM verdict WHERE scan_id = 1"
)
WITHOUT_INDEX = "DROP INDEX uq_verdict_machine; "
FREE = "ALTER TABLE verdict DISABLE TRIGGER append_only; "

# What breaks each invariant. Where a constraint or a trigger stands in the way it goes first, which is found too.
VIOLATIONS = {
    "one_live_scan": "INSERT INTO image (image_id, source, bucket, key, version, versioned) "
    "VALUES ('x', 's', 'b', 'x', 'v', true)",
    "nothing_lost": "UPDATE scan SET state = 'completed', due_at = NULL, finished_at = now(), bundle_version = 'b1' "
    "WHERE id = 3",
    "nothing_doubled": WITHOUT_INDEX + VERDICT.format(bundle="bundle_version"),
    "verdicts_end_scans": "UPDATE scan SET state = 'queued', due_at = now(), finished_at = NULL WHERE id = 1",
    "states_are_whole": "UPDATE scan SET due_at = NULL WHERE id = 3",
    "nothing_left_behind": "UPDATE scan SET state = 'leased', lease_token = gen_random_uuid(), "
    "due_at = now() - interval '11 minutes' WHERE id = 3",
    "verdicts_follow_thresholds": f"{FREE}UPDATE verdict SET verdict = 'not_ai_generated' WHERE id = 1",  # noqa: S608 - constants of this file
    "duplicates_are_equal": f"{FREE}UPDATE verdict SET duplicate_of = 2, decided_by = 'duplicate' WHERE id = 1",  # noqa: S608 - constants of this file
    "champion_was_promoted": "UPDATE bundle SET role = 'registered'",
    "erased_is_forgotten": "UPDATE image SET erased_at = now() WHERE id = 1",
    "append_only": FREE,
    "indexes_hold": WITHOUT_INDEX,
}


@pytest.fixture
def busy(scanned: Scanned) -> Scanned:
    """Two images with a verdict and one whose scan is open."""
    scanned.crown()
    scans = Scans(scanned.database)
    for number in (1, 2):
        scanned.arrive(f"{number}.png")
        (scan_id,) = scanned.dispatch()
        lease = scans.lease(scan_id, 60)
        assert lease is not None
        verdict = {
            "verdict": "ai_generated",
            "decided_by": "machine",
            "probability": 0.9,
            "lower_threshold": 0.1,
            "upper_threshold": 0.8,
            "detectors": {},
            "provenance": {},
            "bundle_version": lease.bundle_version,
            "policy_version": lease.policy.version,
        }
        scans.complete(lease, verdict, [], ImageFacts(f"{number}" * 64, 1, 1, 1), {})
    scanned.arrive("3.png")
    return scanned


def violated(database: Database) -> dict[str, list[str]]:
    return {checked.invariant.name: list(checked.listed) for checked in check_invariants(database) if checked.listed}


def test_every_invariant_has_a_violation_here() -> None:
    assert VIOLATIONS.keys() == {invariant.name for invariant in INVARIANTS}


def test_a_sound_database_violates_nothing(busy: Scanned) -> None:
    assert violated(busy.database) == {}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_found_by_its_name(busy: Scanned, name: str) -> None:
    with busy.database.transaction() as session:
        session.execute(text(VIOLATIONS[name]))
    found = violated(busy.database)
    own_ways = {"append_only"} if FREE in VIOLATIONS[name] else set()
    own_ways |= {"indexes_hold"} if WITHOUT_INDEX in VIOLATIONS[name] else set()
    assert found.keys() == {name} | own_ways


def test_a_scan_that_two_bundles_judged_is_doubled(busy: Scanned) -> None:
    with busy.database.transaction() as session:
        register_bundle(session, version="b2", name="b2", location="x", card={})
        session.execute(text(VERDICT.format(bundle="'b2'")))
    assert violated(busy.database) == {"nothing_doubled": ["scan 1 has 2 verdicts"]}


def test_all_violations_are_counted_and_the_first_are_listed(busy: Scanned) -> None:
    with busy.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO image (image_id, source, bucket, key, version, versioned) "
                "SELECT n, 's', 'b', n, 'v', true FROM generate_series(1, 30) AS n"
            )
        )
    (checked,) = (found for found in check_invariants(busy.database, most_listed=5) if found.violations)
    assert (checked.violations, len(checked.listed)) == (30, 5)


def test_the_command_lists_violations_and_fails(busy: Scanned, database_url: str, tmp_path: Path) -> None:
    def doctor() -> tuple[int, dict[str, list[str]]]:
        command = [sys.executable, "-m", "infra.cli", "doctor", "--audit", "--json"]
        environment = process_environment(tmp_path, ASSAY_DATABASE_URL=database_url)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        lines = map(json.loads, done.stdout.splitlines())
        return done.returncode, {line["invariant"]: line["listed"] for line in lines if line["violations"]}

    assert doctor() == (0, {})
    with busy.database.transaction() as session:
        session.execute(text(VIOLATIONS["states_are_whole"]))
    assert doctor() == (1, {"states_are_whole": ["scan 3 is queued"]})
