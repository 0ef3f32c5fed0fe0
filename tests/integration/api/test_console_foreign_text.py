"""What files and people say, on every page of the console: shown, never run, and isolated from the text around it."""

from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from api.services import Services
from tests.integration.api.conftest import BUNDLE, Rows, SignIn
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import ScanState
from worker.decisions.near_hashes import bands_of
from worker.provenance.findings import Declaration, DeclarationKind, Manifest, Provenance, SignatureState

pytestmark = pytest.mark.integration


def test_what_files_and_people_say_is_shown_and_never_run(sign_in: SignIn, rows: Rows) -> None:
    nasty = '"><script src=//evil.example></script><img src=x onerror=alert(1)>'
    found = Provenance((nasty,), Manifest(SignatureState.UNTRUSTED, None, nasty, nasty, (nasty,)), nasty, nasty)
    image = rows.image(nasty, source=nasty, pdq="01" * 128, pdq_bands=bands_of("01" * 128))
    rows.image(nasty + "2", pdq="01" * 128, pdq_bands=bands_of("01" * 128))
    rows.verdict(image, provenance=found.as_json(), detectors={nasty: {"logit": 0.0, "probability": 0.5}})
    rows.scan(image, ScanState.DEAD, reason="gone", detail=nasty)
    client, token = sign_in(Scope.ADMIN)
    labelled = {"csrf": token, "label": "ai_generated", "reason": nasty, "reviewer": nasty}
    assert client.post("/console/image/label", params={"id": nasty}, data=labelled).status_code == 303
    for path in ("/console", "/console/feed", "/console/scans?state=dead", "/console/audit"):
        assert "<script src=//" not in client.get(path).text
    for path in ("/console/image", "/console/image/state"):
        page = client.get(path, params={"id": nasty}).text
        assert "&lt;script src=//" in page
        assert ("<script src=//" in page, "<img src=x" in page) == (False, False)


# Turns what follows around, to its paragraph's end, where nothing isolates it.
TURNED = "\u202eevil"
# Each is a paragraph of its own, or no text of the page.
_ALONE = {"option", "textarea", "title", "script"}
_VOID = {"br", "img", "input", "meta", "link", "hr", "col", "source", "wbr"}


class Loose(HTMLParser):
    """Finds text that turns around what stands beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[str] = []
        self.turned = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the base class' parameter
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.turned += TURNED in data
        if TURNED in data and not {"bdi", *_ALONE} & set(self._open):
            self.found.append(f"{' '.join(self._open[-3:])}: {data.strip()[:80]!r}")


@pytest.fixture
def turned(sign_in: SignIn, services: Services, database: Database, rows: Rows) -> TestClient:
    """A visitor of a console in which everything that others name or write turns text around."""
    declaration = Declaration(False, DeclarationKind.GENERATOR, TURNED, TURNED)
    signed = Manifest(SignatureState.UNTRUSTED, None, TURNED, TURNED, (TURNED,))
    found = Provenance((TURNED,), signed, TURNED, TURNED, declaration, (declaration,))
    looks = {"pdq": "01" * 128, "pdq_bands": bands_of("01" * 128)}
    image = rows.image(TURNED, source=TURNED, bucket=services.upload_bucket, key=TURNED, **looks)
    rows.image(f"{TURNED}2", **looks)
    rows.verdict(image, provenance=found.as_json(), detectors={"clip": {"logit": 0.0, "probability": 0.5}})
    rows.scan(image, ScanState.DEAD, reason="gone", detail=TURNED)
    key = ApiKeys(database).create(TURNED, [Scope.ADMIN]).key
    client, _ = sign_in(Scope.ADMIN)
    path, terms = f"/v1/images/{quote(TURNED)}", {"false_positive_budget": 0.01, "miss_budget": 0.1}
    for wanted, body in {
        f"/v1/bundles/{BUNDLE}/promote": {"reason": TURNED, "force": True},
        f"{path}/appeals": {"reason": TURNED, "contact": TURNED},
        f"{path}/labels": {"label": "ai_generated", "reason": TURNED},
        "/v1/policies": {**terms, "by_source": {TURNED: terms}},
        "/v1/rescans": {"filter": {"source": TURNED}, "reason": TURNED},
        "/v1/training-runs": {"recipe": "wild"},
        "/v1/webhook-endpoints": {"url": "https://x.example/", "events": ["scan.dead"], "description": TURNED},
    }.items():
        answer = client.post(wanted, json=body, headers={"X-API-Key": key})
        assert answer.is_success, (wanted, answer.text)
    return client


PAGES = (
    *("", "/feed", "/scans?state=dead", "/review", "/appeals", "/drift", "/bundles", f"/bundles/one?version={BUNDLE}"),
    *("/training", "/training/1", "/policies", "/keys", "/webhooks", "/webhooks/1", "/audit", "/drop"),
    *(f"/image?id={quote(TURNED)}", f"/image/state?id={quote(TURNED)}", f"/image?id={quote(TURNED)}-unknown"),
    *(f"?source={quote(TURNED)}", f"/no/{quote(TURNED)}"),
)


def test_no_page_lets_foreign_text_turn_around_what_stands_beside_it(turned: TestClient) -> None:
    loose, met = {}, 0
    for path in PAGES:
        page = Loose()
        page.feed(turned.get(f"/console{path}").text)
        met += page.turned
        if page.found:
            loose[path] = page.found
    assert loose == {}
    assert met > 50
