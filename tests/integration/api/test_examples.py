"""Every route has an example, and every example works on the real thing."""

import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

import api.reference.openapi
from api.main import create_app
from api.reference.examples import EXAMPLES, Example
from api.reference.openapi import answers
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.bundles import SHIPPED, crown_shipped, register_bundle
from worker.database.session import Database
from worker.database.webhook_endpoints import Event
from worker.decisions.calibration import CalibrationFigures

pytestmark = pytest.mark.integration


def shipped(name: str) -> str:
    """Return the version of a bundle that this release ships."""
    description = files("worker") / "bundles" / "shipped" / name / "bundle.json"
    return str(json.loads(description.read_text("utf-8"))["version"])


WILD, CIFAKE = shipped("wild"), shipped("cifake")


@dataclass(frozen=True)
class Reader:
    """Runs examples and helps along what workers would do in between."""

    client: TestClient
    database: Database

    def run(self, example: Example) -> Any:
        """Run one; return the answer."""
        if example.route == "GET /v1/images/{image_id}":
            self._scanned()
        if example.route == "POST /v1/scans/{scan_id}/replay":
            self._sql("UPDATE scan SET state = 'dead', due_at = NULL, attempts = 5, reason = 'attempts_exhausted'")
        if example.route == "POST /v1/fetches/{fetch_id}/replay":
            self._sql("UPDATE url_fetch SET state = 'failed', due_at = NULL, reason = 'gone', finished_at = now()")
        if example.route == "POST /v1/webhook-endpoints/{endpoint_id}/deliveries/{delivery_id}/redeliver":
            self._sql("INSERT INTO webhook_delivery (endpoint_id, event, payload) VALUES (1, 'verdict.changed', '{}')")
        if example.route == "GET /v1/training-runs/{run_id}/report":
            self._sql('UPDATE training_run SET report = \'{"passed": true, "rules": []}\'')
        path, body = example.path, json.dumps(example.body)
        for shown, version in (("wild-0123456789ab", WILD), ("cifake-0123456789ab", CIFAKE)):
            path, body = path.replace(shown, version), body.replace(shown, version)
        headers = {"Content-Type": "application/json", **dict(example.headers)}
        content = jpeg() if example.file else body if example.body is not None else None
        return self.client.request(example.method, path, content=content, headers=headers, follow_redirects=False)

    def _scanned(self) -> None:
        rows = Rows(self.database)
        verdict = rows.verdict(
            1,
            scan_id=1,
            bundle_version=WILD,
            probability=0.97,
            verdict="ai_generated",
            frame_key="heatmaps/1/1/frame.png",
            lower_threshold=0.12,
            upper_threshold=0.88,
            detectors={name: {"logit": 3.178, "probability": 0.96} for name in ("convnext", "clip")},
        )
        rows.heatmap(verdict, "convnext", bundle_version=WILD)

    def _sql(self, statement: str) -> None:
        with self.database.transaction() as session:
            session.execute(text(statement))


@pytest.fixture
def reader(services: Services, database: Database) -> Iterator[Reader]:
    with database.transaction() as session:
        for version in (CIFAKE, WILD):
            location = SHIPPED + version.partition("-")[0]
            figures = CalibrationFigures.of([0.1, 0.2, 0.3], [0.6, 0.8, 0.9], "the tests' own")
            card = {"accuracy": 0.6}
            register_bundle(session, version=version, name="x", location=location, card=card, figures=figures)
        crown_shipped(session, WILD)
    key = ApiKeys(database).create("examples", [Scope.ADMIN]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as client:
        yield Reader(client, database)


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(file, "JPEG")
    return file.getvalue()


def for_readers(answer: Any, buckets: Any) -> Any:
    """Return an answer as the reference shows it: nothing of this test's own, and of lists the beginning."""
    if isinstance(answer, dict):
        return {name: for_readers(value, buckets) for name, value in answer.items()}
    if isinstance(answer, list):
        return [for_readers(value, buckets) for value in answer[:2]]
    if not isinstance(answer, str):
        return answer
    for shown, own in (("wild-0123456789ab", WILD), ("cifake-0123456789ab", CIFAKE), ("uploads", buckets.plain)):
        answer = answer.replace(own, shown)
    answer = answer.replace(buckets.uploads, "uploads").replace(buckets.artifacts, "artifacts")
    answer = re.sub(r"whsec_[A-Za-z0-9+/=]+", "whsec_shown+this+once", answer)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(?=Z|\+)", "2026-11-21T12:00:00", answer)


def test_every_example_works_and_answers_what_the_description_says(reader: Reader, object_store: Any) -> None:
    described = reader.client.get("/openapi.json").json()["paths"]
    recorded: dict[str, Any] = {}
    for example in EXAMPLES:
        if example.route == "POST /v1/events/s3":
            example.body["Records"][0]["s3"]["bucket"]["name"] = object_store.plain
        response = reader.run(example)
        assert response.status_code == example.status, (example.route, response.text)
        method, _, path = example.route.partition(" ")
        assert str(example.status) in described[path][method.lower()]["responses"], example.route
        if response.content and response.headers["content-type"].startswith("application/json"):
            recorded[example.route] = for_readers(response.json(), object_store)
    if os.environ.get("ASSAY_RECORD_ANSWERS"):  # noqa: TID251 - no setting of Assay
        text_of_all = json.dumps(recorded, indent=1, ensure_ascii=False) + "\n"
        Path(api.reference.openapi.__file__).with_name("answers.json").write_text(text_of_all, "utf-8")
        answers.cache_clear()
    names = {route: sorted(answer) for route, answer in answers().items()}
    assert names == {route: sorted(answer) for route, answer in recorded.items()}, "run with ASSAY_RECORD_ANSWERS=1"


def test_every_route_has_an_example_and_a_sentence(reader: Reader) -> None:
    described = reader.client.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path}": entry for path, of in described.items() for method, entry in of.items()}
    assert routes.keys() == {example.route for example in EXAMPLES}
    assert [route for route, operation in routes.items() if not operation.get("description")] == []
    assert [route for route, operation in routes.items() if "x-codeSamples" not in operation] == []


def test_the_reference_shows_every_route_and_loads_nothing_from_elsewhere(reader: Reader) -> None:
    page = reader.client.get("/docs")
    style = reader.client.get("/docs/reference.css")
    assert (page.status_code, style.status_code, style.headers["content-type"]) == (
        200,
        200,
        "text/css; charset=utf-8",
    )
    assert re.findall(r'(?:src|href)="([a-z]+:[^"]+)"', page.text) == ["https://www.standardwebhooks.com"]
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self';"
    )
    assert re.findall(r"<script[^>]*>", page.text) == ['<script type="module" src="/docs/reference.js">']
    assert reader.client.get("/docs/reference.js").headers["content-type"].startswith("text/javascript")
    assert [example.route for example in EXAMPLES if example.route not in page.text] == []


def test_the_type_of_every_error_leads_to_what_it_means(reader: Reader) -> None:
    kinds = reader.client.get("/v1/errors").json()["items"]
    assert [reader.client.get(kind["type"]).json() for kind in kinds] == kinds
    problem = reader.client.get("/v1/images/nobody").json()
    assert reader.client.get(problem["type"]).json()["title"] == problem["title"]
    assert reader.client.get("/v1/errors/none").json()["type"] == "/v1/errors/invalid"


def test_the_landing_page_leads_on_and_runs_nothing(reader: Reader) -> None:
    page = reader.client.get("/", headers={"Authorization": ""})
    assert (page.status_code, page.headers["content-security-policy"].startswith("default-src 'none'")) == (200, True)
    for address in ("/console", "/docs", "/openapi.json", "/health/ready"):
        assert f'href="{address}"' in page.text


def test_every_example_is_shown_in_three_languages_that_parse(reader: Reader) -> None:
    page = reader.client.get("/docs").text
    assert page.count("<summary>Python</summary>") == page.count("<summary>JavaScript</summary>") == len(EXAMPLES)
    for example in EXAMPLES:
        compile(example.python(), example.route, "exec")
        assert example.javascript().startswith("const answer = await fetch(")


def test_every_body_is_shown_field_by_field_and_every_error_leads_to_its_entry(reader: Reader) -> None:
    page, schema = reader.client.get("/docs").text, reader.client.get("/openapi.json").json()
    operations = [operation for of in schema["paths"].values() for operation in of.values()]
    with_bodies = [one for one in operations if "application/json" in one.get("requestBody", {}).get("content", {})]
    assert page.count("<summary>Fields of the request</summary>") == len(with_bodies) > 10
    answers = [one for one in operations if "application/json" in one["responses"].get("200", {}).get("content", {})]
    assert page.count("<summary>Fields of the answer</summary>") >= len(answers) - 5
    for name in ("items[].image_id", "callback_url", "recommended_action", "verdict.thresholds.upper"):
        assert f"<code>{name}</code>" in page
    leads = set(re.findall(r'href="#(error-[a-z-]+)"', page))
    assert leads <= set(re.findall(r'id="(error-[a-z-]+)"', page))
    assert len(leads) >= 10


def test_the_openapi_has_examples_and_webhooks(reader: Reader) -> None:
    schema = reader.client.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert schema["webhooks"].keys() == {event.value for event in Event}
    for example in EXAMPLES:
        method, _, path = example.route.partition(" ")
        content = schema["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
        if example.body is not None and "application/json" in content:
            assert content["application/json"]["example"] == example.body
