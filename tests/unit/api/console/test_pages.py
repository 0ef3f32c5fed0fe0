"""What every answer of the console has, whatever is behind it."""

import re
from pathlib import Path

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

import api.console
from api.console.static_files import address_of
from api.console.visitor import cookie_name, cookie_terms, safe_next

TEMPLATES = Path(api.console.__file__).parent / "templates"
# Text right behind a tag that shows an id, a source, or words that somebody typed.
_FOREIGN = re.compile(
    r"<(?!bdi)[a-z0-9]+(?: [^<>]*)?>\{\{ [a-z_.]*(?:image_id|\.source|\.reviewer|\.reason|\.requested_by|\.actor) \}\}"
)


def test_the_sign_in_page_lets_nothing_in_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/console/sign-in")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert re.search(r"<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=", answer.text) is None


def test_a_file_asked_for_by_its_content_may_be_kept_for_good(client: TestClient) -> None:
    address = address_of("console.css")
    answer = client.get(address)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/css")
    assert "immutable" in answer.headers["cache-control"]
    again = client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "immutable" not in client.get(address + "0").headers["cache-control"]


@pytest.mark.parametrize("name", ["../pages.py", "%2e%2e/pages.py", "vendor/uPlot.LICENSE", "nothing.css", ""])
def test_nothing_but_styles_scripts_pictures_and_the_font_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/console/static/{name}").status_code in {404, 303}


FORM = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\nassay_+2AA-\r\n--b--\r\n'


@pytest.mark.parametrize(("charset", "status"), [("utf-7", 401), ("undefined", 400), ("idna", 401), ("nonsense", 401)])
def test_a_key_in_any_character_set_is_wrong_and_no_defect(client: TestClient, charset: str, status: int) -> None:
    kind = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    assert client.post("/console/sign-in", content=FORM.format("key"), headers=kind).status_code == status


@pytest.mark.parametrize("wanted", ["/console", "/console/scans?state=dead", "/console?verdict=uncertain"])
def test_pages_of_the_console_are_come_back_to(wanted: str) -> None:
    assert safe_next(wanted) == wanted


@pytest.mark.parametrize("wanted", [None, "", "https://evil.example", "//evil.example", "/console/..\\evil", "/docs"])
def test_nowhere_else_is_gone_to(wanted: str | None) -> None:
    assert safe_next(wanted) == "/console"


@pytest.mark.parametrize(
    ("scheme", "name", "terms"),
    [
        ("http", "assay_console", {"path": "/console", "secure": False}),
        ("https", "__Host-assay_console", {"path": "/", "secure": True}),
    ],
)
def test_over_tls_the_session_s_cookie_is_bound_to_the_host(scheme: str, name: str, terms: dict[str, object]) -> None:
    request = Request({"type": "http", "scheme": scheme, "server": ("assay.example", 1), "path": "/", "headers": []})
    assert cookie_name(request) == name
    assert cookie_terms(request) == {**terms, "httponly": True, "samesite": "lax"}


def test_what_others_wrote_is_isolated_from_the_direction_of_the_text_around_it() -> None:
    """An id with marks for right-to-left text would otherwise turn around what stands beside it."""
    loose = [
        f"{template.name}: {found[0]}"
        for template in TEMPLATES.glob("*.html")
        for found in _FOREIGN.finditer(template.read_text(encoding="utf-8"))
        if "<option" not in found[0]
    ]
    assert loose == []
