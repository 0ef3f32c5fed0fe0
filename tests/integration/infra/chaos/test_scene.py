"""What chaos counts where images are lost, doubled or dead: every kind by itself, in a real database."""

from collections.abc import Iterator
from random import Random

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from infra.chaos.deployment import Deployment
from infra.chaos.scene import INNOCENT, Scene
from tests.conftest import Scanned
from worker.database.scans import ImageFacts, Scans
from worker.settings import Settings

pytestmark = pytest.mark.integration

SOUND, UNWRITTEN, TWICE, DEAD, NEVER_CAME = IDS = ("sound", "unwritten", "twice", "dead", "never came")


def complete(scanned: Scanned, image_id: str) -> None:
    """Let a worker complete the scan of an image that arrives."""
    scanned.arrive(image_id)
    (scan_id,) = scanned.dispatch()
    lease = Scans(scanned.database).lease(scan_id, 60)
    assert lease is not None
    verdict = {
        "verdict": "ai_generated",
        "decided_by": "machine",
        "probability": 0.9,
        "detectors": {},
        "provenance": {},
        "bundle_version": lease.bundle_version,
        "policy_version": lease.policy.version,
    }
    Scans(scanned.database).complete(lease, verdict, [], ImageFacts(image_id.ljust(64, "0"), 1, 1, 1), {})


END = text(
    "UPDATE scan SET state = :state, due_at = NULL, finished_at = now(), bundle_version = 'b1', reason = :reason "
    "WHERE image_pk = (SELECT id FROM image WHERE image_id = :image_id)"
)
AGAIN = text(
    "INSERT INTO verdict (image_pk, scan_id, verdict, decided_by, detectors, provenance, bundle_version, "
    "policy_version) SELECT image_pk, scan_id, verdict, decided_by, detectors, provenance, bundle_version, "
    "policy_version FROM verdict WHERE image_pk = (SELECT id FROM image WHERE image_id = :image_id)"
)


@pytest.fixture
def scene(scanned: Scanned, stack_settings: Settings, database_url: str) -> Iterator[Scene]:
    """Five images that were put, of which one alone fared well."""
    scanned.crown()
    for image_id in (SOUND, TWICE):
        complete(scanned, image_id)
    for image_id in (UNWRITTEN, DEAD):
        scanned.arrive(image_id)
    with scanned.database.transaction() as session:
        session.execute(END, {"image_id": UNWRITTEN, "state": "completed", "reason": None})
        session.execute(END, {"image_id": DEAD, "state": "dead", "reason": "attempts_exhausted"})
        session.execute(text("DROP INDEX uq_verdict_machine"))
        session.execute(AGAIN, {"image_id": TWICE})
    settings = stack_settings.model_copy(update={"database_url": SecretStr(database_url)})
    deployment = Deployment(settings, "http://127.0.0.1:9", "assay_x")
    scene = Scene("a fault", deployment, None, Random(1))  # noqa: S311 - faults, no secrets
    scene.expected = dict.fromkeys(IDS, INNOCENT)
    yield scene
    deployment.database.engine.dispose()


def test_what_is_lost_doubled_or_dead_is_counted_and_named(scene: Scene) -> None:
    report = scene.count(1.0)
    assert (report.images, report.doubled, report.dead) == (5, 1, 1)
    assert report.missing == [
        f"{UNWRITTEN}: completed:no_verdict",
        f"{DEAD}: dead:attempts_exhausted",
        f"{NEVER_CAME}: unknown",
    ]
    assert (report.lost, report.verdicts) == (3, 2)
