"""Frames of the crops that detectors looked at: on an image's page, at the desk, and the drawing itself."""

from html import unescape
from re import findall
from typing import Any

import pytest
from sqlalchemy import insert

from tests.integration.api.conftest import SITE, Rows, SignIn
from worker.database.api_keys import Scope
from worker.database.session import Database
from worker.database.tables import Bundle, BundleRole
from worker.images.crop_boxes import crop_boxes

pytestmark = pytest.mark.integration

DETECTORS = {"clip": {"logit": 0.1, "probability": 0.52}, "srm": {"logit": 0.1, "probability": 0.52}}
FRAMED = "framed-1"


@pytest.fixture(autouse=True)
def _bundle(database: Database) -> None:
    """Register a bundle whose card tells what CLIP looks at, and nothing of SRM."""
    facts = {"architecture": {}, "views": {"size": 64, "wholes": 0, "crops": 3}, "weights": 1}
    card: dict[str, Any] = {"detectors": {"clip": facts}}
    row = {"version": FRAMED, "name": "framed", "role": BundleRole.REGISTERED, "location": "x", "card": card}
    with database.transaction() as session:
        session.execute(insert(Bundle).values(**row))


def test_the_page_offers_the_crops_of_each_detector_whose_plan_is_known(sign_in: SignIn, rows: Rows) -> None:
    rows.verdict(rows.image("cat", width=300, height=200), detectors=DETECTORS, bundle_version=FRAMED)
    client, _ = sign_in(Scope.READ)
    page = client.get("/console/image?id=cat").text
    assert findall(r'name="crops" value="(\w*)"', page) == ["", "clip"]
    assert "CLIP looked at 3 crops of 64 \N{MULTIPLICATION SIGN} 64 pixels, untouched." in page
    (address,) = findall(r'data-at="([^"]+)"', page)
    drawing = client.get(unescape(address))
    assert (drawing.status_code, drawing.headers["content-type"]) == (200, "image/svg+xml")
    assert drawing.headers["content-security-policy"] == "default-src 'none'; sandbox"
    for left, top, _, _ in crop_boxes((300, 200), 64, 3):
        assert f'<rect x="{left}" y="{top}" width="64" height="64"/>' in drawing.text


def test_the_desk_has_them_too_but_in_the_audit_slice(sign_in: SignIn, rows: Rows) -> None:
    rows.verdict(rows.image("cat", width=300, height=200, sha256="0" * 64), detectors=DETECTORS, bundle_version=FRAMED)
    client, token = sign_in(Scope.READ, Scope.REVIEW)
    headers = {"Origin": SITE, "X-Requested-With": "assay"}

    def crops(order: str) -> Any:
        answer = client.post("/console/review/next", data={"csrf": token, "order": order}, headers=headers)
        return [(one["name"], one["words"]) for one in answer.json()["items"][0]["crops"]]

    assert crops("uncertain") == [("CLIP", "3 crops of 64 \N{MULTIPLICATION SIGN} 64 pixels, untouched")]
    assert crops("audit") == []


@pytest.mark.parametrize(
    ("image", "bundle", "detector"), [("nobody", FRAMED, "clip"), ("cat", "none", "clip"), ("cat", FRAMED, "srm")]
)
def test_what_is_not_known_is_not_drawn(sign_in: SignIn, rows: Rows, image: str, bundle: str, detector: str) -> None:
    rows.verdict(rows.image("cat", width=300, height=200), detectors=DETECTORS, bundle_version=FRAMED)
    client, _ = sign_in(Scope.READ)
    assert client.get(f"/console/crops?id={image}&bundle={bundle}&detector={detector}").status_code == 404


def test_a_picture_of_unknown_size_has_no_frames(sign_in: SignIn, rows: Rows) -> None:
    rows.verdict(rows.image("cat"), detectors=DETECTORS, bundle_version=FRAMED)
    client, _ = sign_in(Scope.READ)
    assert 'name="crops"' not in client.get("/console/image?id=cat").text
