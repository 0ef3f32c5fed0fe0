"""A data folder that release 0.1.0 left starts whole with this one, and goes on with its champion."""

from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select, text

from api.client import Assay
from infra.demo_images import as_jpeg
from infra.embedded.stack import PARTS, EmbeddedStack
from tests.support.assay_up import AssayUp, settings_of
from worker.bundles.release import of_release
from worker.bundles.shipped_files import shipped_folder
from worker.database.invariants import check_invariants
from worker.database.session import connect
from worker.database.tables import Bundle, BundleRole
from worker.objects.clients import s3_client

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

CHAMPION = "wild-e910f7c726b5"
DUMP = Path(__file__).parents[1] / "integration" / "database" / "release_0_1_0.sql"
# What that release's worker wrote: its champion, and an image with its verdict.
ROWS = """
INSERT INTO bundle (version, name, role, location, card, promoted_at)
  VALUES (:champion, 'wild', 'champion', 'shipped:wild', CAST(:card AS jsonb), now());
INSERT INTO image (image_id, source, bucket, key, version, versioned, sha256, size_bytes, width, height)
  VALUES ('before.jpg', 'uploads', 'uploads', 'before.jpg', 'e1', false, repeat('0', 64), 1000, 96, 96);
INSERT INTO scan (image_pk, kind, queue, state, due_at, bundle_version, attempts, finished_at)
  VALUES (1, 'live', 'live', 'completed', NULL, :champion, 1, now());
INSERT INTO verdict (image_pk, scan_id, verdict, decided_by, probability, lower_threshold, upper_threshold, detectors,
    provenance, bundle_version, policy_version, source)
  VALUES (1, 1, 'uncertain', 'machine', 0.4, 0.1, 0.9, '{"clip": {"logit": -0.4, "probability": 0.4}}',
    '{}', :champion, 1, 'uploads');
"""


def leave_a_folder_of_release_0_1_0(data_dir: Path) -> None:
    """Write what that release's worker wrote; while nothing of Assay runs, an image comes in."""
    with EmbeddedStack(data_dir, fixed_ports=dict.fromkeys(PARTS, 0)) as addresses:
        database = connect(addresses.database_url)
        with database.engine.begin() as connection:
            connection.exec_driver_sql(DUMP.read_text("utf-8"), execution_options={"no_parameters": True})
            card = (shipped_folder("wild", CHAMPION) / "card.json").read_text("utf-8")
            for statement in filter(str.strip, ROWS.split(";\n")):
                values = {
                    name: value
                    for name, value in {"champion": CHAMPION, "card": card}.items()
                    if f":{name}" in statement
                }
                connection.execute(text(statement), values)
        database.engine.dispose()
        uploads = s3_client(settings_of(addresses))
        uploads.put_object(Bucket=addresses.upload_bucket, Key="meanwhile.jpg", Body=picture(30))


def picture(sigma: int) -> bytes:
    return as_jpeg(Image.effect_noise((96, 96), sigma).convert("RGB"))


def test_it_serves_what_it_said_and_judges_on_with_the_same_champion(tmp_path: Path) -> None:
    leave_a_folder_of_release_0_1_0(tmp_path)
    # Without shadow scans, which load the new bundle beside the old one.
    with AssayUp(tmp_path, ASSAY_SHADOW_SHARE="0") as assay:
        assay.put("after.jpg", picture(40))
        ended = assay.wait_ended(["meanwhile.jpg", "after.jpg"], 240)
        assert {outcome.state for outcome in ended.values()} == {"completed"}
        with Assay(assay.doors.api_url, assay.doors.api_key, timeout=30) as client:
            before, after = client.image("before.jpg")["verdict"], client.image("after.jpg")["verdict"]
        with assay.database.transaction() as session:
            roles = {bundle.version: bundle.role for bundle in session.scalars(select(Bundle))}
        violated = [checked.invariant for checked in check_invariants(assay.database) if checked.violations]
    assert before is not None
    assert after is not None
    assert (before["verdict"], before["bundle_version"]) == ("uncertain", CHAMPION)
    assert after["bundle_version"] == CHAMPION
    shipped = {folder.name: version for folder, version in of_release()}
    assert (roles[CHAMPION], roles[shipped["wild"]]) == (BundleRole.CHAMPION, BundleRole.REGISTERED)
    assert violated == []
