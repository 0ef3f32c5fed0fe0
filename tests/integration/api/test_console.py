"""The console's server side on a real Postgres: who may do what, whatever a browser would have stopped before."""

from html import unescape
from re import findall, search

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.services import Services
from tests.integration.api.conftest import SITE, Rows, SignIn
from tests.integration.api.console_acts import ACTS
from worker.database.api_keys import ApiKeys, Scope
from worker.database.session import Database
from worker.database.tables import Policy, TrainingRun
from worker.provenance.findings import Manifest, Provenance, Says, SignatureState

pytestmark = pytest.mark.integration


def test_every_act_of_the_console_is_known_to_these_tests(services: Services) -> None:
    app = create_app(services)
    from api.console.routes import router  # noqa: PLC0415

    assert app
    posts = {
        route.path
        for part in router.routes
        for route in getattr(getattr(part, "original_router", None), "routes", [part])
        if "POST" in (getattr(route, "methods", None) or ())
    }
    known = {path.partition("?")[0].replace("/1/", "/{}/") for path in ACTS}
    found = {"/".join("{}" if part.startswith("{") else part for part in path.split("/")) for path in posts}
    assert found - {"/console/sign-in", "/console/sign-out"} == known


@pytest.mark.parametrize("path", ACTS)
def test_a_form_without_its_token_is_refused(sign_in: SignIn, path: str) -> None:
    client, _ = sign_in(Scope.ADMIN)
    answer = client.post(path, data={"csrf": "0" * 64, "reason": "x"}, headers={"Origin": SITE})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ACTS)
@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_a_form_of_another_site_is_refused_even_with_the_token(
    sign_in: SignIn, path: str, headers: dict[str, str]
) -> None:
    client, token = sign_in(Scope.ADMIN)
    answer = client.post(path, data={"csrf": token}, headers={**headers, "X-Assay-Csrf": token})
    assert answer.status_code == 403
    assert "another site" in answer.text


@pytest.mark.parametrize(("path", "scope"), [(path, scope) for path, scope in ACTS.items() if scope != Scope.READ])
def test_what_a_key_may_not_do_is_refused_though_its_form_is_good(sign_in: SignIn, path: str, scope: Scope) -> None:
    others = {Scope.READ, Scope.INGEST, *(() if scope == Scope.LEAD else (Scope.REVIEW,))} - {scope}
    client, token = sign_in(*others)
    answer = client.post(path, data={"csrf": token}, headers={"X-Assay-Csrf": token})
    assert (answer.status_code, scope in unescape(answer.text)) == (403, True)


@pytest.mark.parametrize("path", ["/console/keys", "/console/webhooks", "/console/webhooks/1", "/console/audit"])
def test_pages_for_admins_are_for_admins(sign_in: SignIn, path: str) -> None:
    client, _ = sign_in(Scope.READ, Scope.REVIEW, Scope.INGEST)
    assert client.get(path).status_code == 403


def test_nobody_sees_anything_without_signing_in(services: Services) -> None:
    client = TestClient(create_app(services), base_url=SITE, follow_redirects=False)
    for path in (
        "",
        "/image?id=x",
        "/picture?id=x",
        "/heatmap?id=x&detector=clip",
        "/crops?id=x&bundle=b&detector=clip",
        "/frame?id=x",
        "/scans",
        "/bundles",
        "/no/page",
    ):
        answer = client.get(f"/console{path}")
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/console/sign-in")
    by_script = client.get("/console/feed", headers={"X-Requested-With": "assay"})
    assert by_script.status_code == 401
    client.cookies.set("assay_console", "made-up", path="/console")
    assert client.get("/console/bundles").status_code == 303


def test_a_key_that_may_not_read_does_not_sign_in(services: Services, database: Database) -> None:
    client = TestClient(create_app(services), base_url=SITE, follow_redirects=False)
    key = ApiKeys(database).create("ingest only", [Scope.INGEST]).key
    answer = client.post("/console/sign-in", data={"key": key})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert key not in answer.text


def test_the_cookie_is_for_https_alone_where_the_page_came_by_it(services: Services, database: Database) -> None:
    key = ApiKeys(database).create("visitor", [Scope.READ]).key
    app = create_app(services)
    for site, secure in (("https://testserver", True), ("http://testserver", False)):
        client = TestClient(app, base_url=site, follow_redirects=False)
        answer = client.post("/console/sign-in", data={"key": key})
        cookie = answer.headers["set-cookie"]
        assert ("Secure" in cookie, "HttpOnly" in cookie, "SameSite=lax" in cookie) == (secure, True, True)


@pytest.mark.parametrize("wanted", ["https://evil.example", "//evil.example", "/\\evil.example", "/consolation", ""])
def test_signing_in_never_leads_to_another_site(services: Services, database: Database, wanted: str) -> None:
    key = ApiKeys(database).create("visitor", [Scope.READ]).key
    client = TestClient(create_app(services), base_url=SITE, follow_redirects=False)
    answer = client.post("/console/sign-in", data={"key": key, "next": wanted})
    assert answer.headers["location"] == "/console"


def test_nobody_puts_words_of_their_own_on_a_page_with_a_link(sign_in: SignIn) -> None:
    client, _ = sign_in(Scope.READ)
    answer = client.get("/console/bundles?notice=Call+us+at+once")
    assert "Call us" not in answer.text


def test_a_page_of_an_error_shows_the_way_back(sign_in: SignIn) -> None:
    client, _ = sign_in(Scope.READ)
    answer = client.get("/console/no/such/page")
    assert (answer.status_code, "Sign out" in answer.text) == (404, True)


def test_a_session_ends_with_its_key(sign_in: SignIn, database: Database) -> None:
    client, _ = sign_in(Scope.READ)
    keys = ApiKeys(database)
    keys.revoke(keys.list()[-1].id)
    assert client.get("/console/bundles").status_code == 303


def test_odd_ids_and_values_get_a_page_and_no_failure(sign_in: SignIn) -> None:
    client, token = sign_in(Scope.ADMIN)
    for odd in ("../../etc/passwd", "a\x00b", "<script>alert(1)</script>", "' OR 1=1 --", "日本/🙂"):
        for path, name in (("/console/image", "id"), ("/console/bundles/one", "version"), ("/console", "source")):
            answer = client.get(path, params={name: odd})
            assert (answer.status_code < 500, "<script>alert" in answer.text) == (True, False)
    for path in ("/console?at_least=x", "/console?since=then", "/console?cursor=!", "/console?verdict=fake"):
        assert client.get(path).status_code == 422
    for path in ("/console/training/99999999999999999999", "/console/scans?state=lost"):
        assert client.get(path).status_code == 422
    terms = {"csrf": token, "false_positive": "nan", "miss": "5"}
    assert client.post("/console/policies", data=terms).status_code == 422


DETECTORS = {"clip": {"logit": 0.0, "probability": 0.5}}
CAPTURED = Manifest(SignatureState.TRUSTED, Says.CAPTURED, "Camera Maker")


@pytest.mark.parametrize(
    ("found", "forgeable"),
    [(Provenance((), CAPTURED), False), (Provenance(("comfyui",), CAPTURED), True), (Provenance(("comfyui",)), True)],
)
def test_a_tag_beside_a_signature_that_says_nothing_of_ai_is_shown_as_forgeable(
    sign_in: SignIn, rows: Rows, found: Provenance, *, forgeable: bool
) -> None:
    rows.verdict(rows.image("cat"), provenance=found.as_json())
    client, _ = sign_in(Scope.READ)
    page = client.get("/console/image?id=cat").text
    assert ("anybody can write this" in page, "Signed." in page) == (forgeable, not forgeable)


def test_the_gravest_frame_of_an_animation_is_named_and_shown(sign_in: SignIn, services: Services, rows: Rows) -> None:
    frames = {
        "count": 24,
        "judged": [0, 12],
        "deciding": {"number": 0, "at_ms": 0.0, "probability": 0.1},
        "gravest": {"number": 12, "at_ms": 1240.0, "probability": 0.87},
        "first_alone": False,
    }
    services.objects.put(services.artifact_bucket, "heatmaps/1/1/frame.png", b"\x89PNG", "image/png")
    image = rows.image("cat", truncated=True)
    rows.verdict(image, detectors=DETECTORS, frames=frames, frame_key="heatmaps/1/1/frame.png")
    client, _ = sign_in(Scope.READ)
    page = client.get("/console/image?id=cat").text
    assert "<strong>Gravest frame: 12 of 24</strong>, at 1.2 s: 87" in page
    assert "the file breaks off" in page
    (source,) = findall(r'<img src="(/console/frame[^"]+)"', page)
    picture = client.get(unescape(source))
    assert (picture.status_code, picture.content, picture.headers["content-type"]) == (200, b"\x89PNG", "image/png")


def test_an_animation_of_which_the_first_picture_alone_was_judged_is_shown_as_such(sign_in: SignIn, rows: Rows) -> None:
    first = {"number": 0, "at_ms": 0.0, "probability": 0.1}
    frames = {"count": 2, "judged": [0], "deciding": first, "gravest": first, "first_alone": True}
    rows.verdict(rows.image("cat"), detectors=DETECTORS, frames=frames)
    client, _ = sign_in(Scope.READ)
    page = client.get("/console/image?id=cat").text
    assert "<strong>the first alone was judged</strong>" in page
    assert "/console/frame" not in page
    assert client.get("/console/frame?id=cat").status_code == 404


@pytest.mark.parametrize(
    "body", [b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"<html>", b"%PDF-1.7"]
)
def test_what_is_no_picture_is_not_shown_as_one(sign_in: SignIn, services: Services, rows: Rows, body: bytes) -> None:
    stored = services.objects.put(services.upload_bucket, "cat.svg", body, "image/svg+xml")
    rows.image("cat", bucket=services.upload_bucket, key="cat.svg", version=stored.etag)
    client, _ = sign_in(Scope.READ)
    assert client.get("/console/picture?id=cat").status_code == 415


def test_a_session_is_a_new_one_each_time_and_ends_where_it_is_signed_out(
    services: Services, database: Database
) -> None:
    client = TestClient(create_app(services), base_url=SITE, follow_redirects=False)
    key = {"key": ApiKeys(database).create("visitor", [Scope.READ]).key}
    client.cookies.set("__Host-assay_console", "planted", path="/")
    client.post("/console/sign-in", data=key)
    token = next(cookie.value for cookie in client.cookies.jar if cookie.value != "planted")
    assert token
    client.cookies.clear()
    client.cookies.set("__Host-assay_console", token, path="/")
    page = client.get("/console/policies")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    found = search('name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None
    assert client.post("/console/sign-out", data={"csrf": "0" * 64}).status_code == 403
    assert client.post("/console/sign-out", data={"csrf": found.group(1)}).status_code == 303
    client.cookies.set("__Host-assay_console", token, path="/")
    assert client.get("/console/policies").status_code == 303


def test_a_form_does_what_the_api_does_and_stands_in_the_trail(sign_in: SignIn, database: Database) -> None:
    client, token = sign_in(Scope.ADMIN)
    terms = {"false_positive": "0,5", "miss": "4", "source": ["uploads/a", ""], "source_false_positive": ["2", ""]}
    made = client.post("/console/policies", data={"csrf": token, **terms, "source_miss": ["", ""]})
    asked = {"recipe": "wild", "minutes": "10", "changes": "fit.epochs=3\n", "shadow_percent": "25"}
    started = client.post("/console/training", data={"csrf": token, **asked})
    assert (made.status_code, started.status_code) == (303, 303)
    with database.transaction() as session:
        policy = session.query(Policy).order_by(Policy.version.desc()).first()
        run = session.query(TrainingRun).one()
    assert policy is not None
    assert (policy.false_positive_budget, policy.miss_budget) == (0.005, 0.04)
    assert policy.by_source == {"uploads/a": {"false_positive_budget": 0.02}}
    parameters = {"minutes": 10.0, "changes": ["fit.epochs=3"], "shadow_share": 0.25}
    assert {name: run.parameters[name] for name in parameters} == parameters
    trail = client.get("/console/audit").text
    assert ("policy.add" in trail, "training_run.queue" in trail) == (True, True)
