"""A new policy judges history anew by what was seen then; the pictures are not needed, nor there any more."""

from typing import Any

import httpx2
import pytest
from PIL import Image
from sqlalchemy import select

from infra.demo_images import as_jpeg
from tests.support.assay_up import AssayUp, wait_until
from worker.database.tables import Image as ImageRow
from worker.database.tables import Verdict

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

KEYS = [f"memory/{number}.jpg" for number in range(3)]


def tell(assay: AssayUp, path: str, body: object) -> httpx2.Response:
    return httpx2.post(assay.doors.api_url + path, json=body, headers={"X-API-Key": assay.doors.api_key}, timeout=10)


def verdicts(assay: AssayUp) -> list[Verdict]:
    with assay.database.transaction() as session:
        of_these = select(Verdict).join(ImageRow, ImageRow.id == Verdict.image_pk).where(ImageRow.key.in_(KEYS))
        return list(session.scalars(of_these.order_by(Verdict.id)))


def without_engines(detectors: Any) -> dict[str, dict[str, float]]:
    """Leave out what ran each detector: of a scan from memory it is what was stored."""
    return {name: {k: v for k, v in columns.items() if k != "engine"} for name, columns in detectors.items()}


def test_a_new_policy_judges_history_without_its_pictures(assay: AssayUp) -> None:
    for number, key in enumerate(KEYS):
        assay.put(key, as_jpeg(Image.effect_noise((90 + number, 90), 30 + number).convert("RGB")))
    assay.wait_ended(KEYS, 60)
    for key in KEYS:
        assay.s3.delete_object(Bucket=assay.addresses.upload_bucket, Key=key)
    newest = httpx2.get(f"{assay.doors.api_url}/v1/policies", headers={"X-API-Key": assay.doors.api_key}, timeout=10)
    terms = newest.json()["items"][0]
    changed = {name: terms[name] for name in ("false_positive_budget", "miss_budget", "by_source")}
    made = tell(assay, "/v1/policies", {**changed, "prior_shift": terms["prior_shift"] - 0.25})
    assert made.status_code == 201, made.text
    try:
        asked = tell(assay, "/v1/rescans", {"reason": "a new policy", "rate": 1000})
        assert asked.status_code == 202, asked.text
        wait_until(lambda: len(verdicts(assay)) == 2 * len(KEYS), 60, "the verdicts by the new policy")
    finally:
        back = tell(assay, "/v1/policies", {**changed, "prior_shift": terms["prior_shift"]})
    assert back.status_code == 201, back.text
    before, after = verdicts(assay)[: len(KEYS)], verdicts(assay)[len(KEYS) :]
    assert {verdict.policy_version for verdict in after} == {made.json()["version"]}
    by_image = {verdict.image_pk: verdict for verdict in after}
    for old in before:
        new = by_image[old.image_pk]
        assert old.probability is not None
        assert new.probability is not None
        assert new.probability < old.probability
        assert without_engines(new.detectors) == without_engines(old.detectors)
