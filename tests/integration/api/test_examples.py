"""Every route has an example, and every example works on the real thing."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

from api.main import create_app
from api.reference.examples import EXAMPLES, Example
from api.services import Services
from tests.integration.api.conftest import Rows
from worker.database.api_keys import ApiKeys, Scope
from worker.database.bundles import SHIPPED, crown_shipped, register_bundle
from worker.database.session import Database
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
        if example.route == "GET /v1/images/{image_id}/heatmap":
            self._scanned()
        if example.route == "POST /v1/scans/{scan_id}/replay":
            self._sql("UPDATE scan SET state = 'dead', due_at = NULL, attempts = 5, reason = 'attempts_exhausted'")
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


def test_every_example_works_and_answers_what_the_description_says(reader: Reader, object_store: Any) -> None:
    described = reader.client.get("/openapi.json").json()["paths"]
    for example in EXAMPLES:
        if example.route == "POST /v1/events/s3":
            example.body["Records"][0]["s3"]["bucket"]["name"] = object_store.plain
        response = reader.run(example)
        assert response.status_code == example.status, (example.route, response.text)
        method, _, path = example.route.partition(" ")
        assert str(example.status) in described[path][method.lower()]["responses"], example.route


def test_every_route_has_an_example_and_a_sentence(reader: Reader) -> None:
    described = reader.client.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path}": told for path, of in described.items() for method, told in of.items()}
    assert routes.keys() == {example.route for example in EXAMPLES}
    assert [route for route, told in routes.items() if not told.get("description")] == []
    assert [route for route, told in routes.items() if "x-codeSamples" not in told] == []


def test_the_reference_shows_every_route_and_loads_nothing_from_elsewhere(reader: Reader) -> None:
    page = reader.client.get("/docs")
    style = reader.client.get("/docs/reference.css")
    assert (page.status_code, style.status_code, style.headers["content-type"]) == (
        200,
        200,
        "text/css; charset=utf-8",
    )
    assert "script" not in page.text.replace("description", "")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert [example.route for example in EXAMPLES if example.route not in page.text] == []


def test_the_type_of_every_error_leads_to_what_it_means(reader: Reader) -> None:
    kinds = reader.client.get("/v1/errors").json()["items"]
    assert [reader.client.get(kind["type"]).json() for kind in kinds] == kinds
    problem = reader.client.get("/v1/images/nobody").json()
    assert reader.client.get(problem["type"]).json()["title"] == problem["title"]
    assert reader.client.get("/v1/errors/none").json()["type"] == "/v1/errors/invalid"
