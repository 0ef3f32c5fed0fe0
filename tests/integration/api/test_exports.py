"""Exports: made in pieces, resumed after a crash, read back by other code, without people and what is erased."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, text

from api.main import create_app
from api.services import Services
from tests.conftest import Buckets
from tests.integration.api.conftest import Rows
from tests.unit.worker.database.test_statement import TERMS
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.erasure import Erasure
from worker.database.exports import Exports
from worker.database.pending_deletions import PendingDeletions
from worker.database.roles import Role, establish_roles, url_of
from worker.database.session import Database, connect
from worker.database.tables import Image, LabelValue, Verdict
from worker.decisions.vocabulary import VerdictValue
from worker.exports.exporter import Exporter
from worker.objects.transfer import Transfer

pytestmark = pytest.mark.integration

DAY = datetime(2026, 3, 1, tzinfo=UTC)
PERIOD = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z"}


class DeadError(BaseException):
    """The worker dies here."""


@pytest.fixture
def client(services: Services, database: Database) -> Iterator[TestClient]:
    key = ApiKeys(database).create("auditor", [Scope.ADMIN]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def exporter(database: Database, object_store: Buckets) -> Callable[..., Exporter]:
    def make(upload: Any = None, database: Database = database) -> Exporter:
        sends = upload or Transfer(object_store.s3).upload
        return Exporter(database, sends, bucket=object_store.artifacts, rows_of_a_piece=3)

    return make


@pytest.fixture
def verdicts(rows: Rows) -> list[int]:
    """Eight verdicts of a day, two of them outside it and several at the same moment."""
    moments = [-1, 0, 0, 0, 0, 3600, 7200, 86_400]
    return [
        rows.verdict(
            rows.image(f'cat, "{number}"\nü'),
            verdict=VerdictValue.AI_GENERATED,
            probability=0.1 * number,
            created_at=DAY + timedelta(seconds=seconds),
        )
        for number, seconds in enumerate(moments)
    ]


def ask(client: TestClient, content: str = "verdicts", form: str = "parquet") -> int:
    answer = client.post("/v1/exports", json={"content": content, "format": form, **PERIOD})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued"), answer.text
    assert answer.headers["location"] == f"/v1/exports/{answer.json()['id']}"
    return int(answer.json()["id"])


def read(client: TestClient, export_id: int) -> list[dict[str, Any]]:
    """Fetch every file by its address, check it, and read its rows."""
    export = client.get(f"/v1/exports/{export_id}").json()
    assert (export["state"], export["error"]) == ("done", None)
    rows: list[dict[str, Any]] = []
    for file in export["files"]:
        body = httpx.get(file["url"]).content
        assert (len(body), hashlib.sha256(body).hexdigest()) == (file["bytes"], file["sha256"])
        if export["format"] == "csv":
            found: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(body.decode("utf-8"), newline="")))
        else:
            found = pq.read_table(io.BytesIO(body)).to_pylist()
        assert len(found) == file["rows"]
        rows += found
    assert len(rows) == export["rows"]
    return rows


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_period_is_exported_in_pieces_that_join(
    client: TestClient, exporter: Callable[..., Exporter], verdicts: list[int], form: str
) -> None:
    export_id = ask(client, form=form)
    assert [exporter().export_once(), exporter().export_once()] == [True, False]
    found = read(client, export_id)
    assert [int(row["verdict_id"]) for row in found] == verdicts[1:-1]
    assert found[0]["image_id"] == 'cat, "1"\nü'
    assert float(found[0]["probability"]) == pytest.approx(0.1)
    moment = found[0]["created_at"]
    assert (moment if form == "parquet" else datetime.fromisoformat(moment)) == DAY
    assert len(client.get(f"/v1/exports/{export_id}").json()["files"]) == 3  # the last says that there is no more


def test_a_crash_in_between_loses_and_doubles_nothing(
    client: TestClient,
    exporter: Callable[..., Exporter],
    verdicts: list[int],
    object_store: Buckets,
    database: Database,
) -> None:
    """It dies after a piece was stored and before it was written down, and later before one is stored."""
    export_id = ask(client)
    sent = list[str]()

    def upload(path: Path, bucket: str, key: str) -> None:
        sent.append(key)
        if len(sent) == 3:
            raise DeadError
        Transfer(object_store.s3).upload(path, bucket, key)
        if len(sent) == 1:
            raise DeadError

    for _ in range(2):
        with pytest.raises(DeadError):
            exporter(upload).export_once()
        assert exporter().export_once() is False  # its lease still holds
        with database.transaction() as session:
            session.execute(text("UPDATE export SET due_at = now() - interval '1 second'"))
    assert exporter(upload).export_once() is True
    assert sent[0] == sent[1]
    assert [row["verdict_id"] for row in read(client, export_id)] == verdicts[1:-1]


def test_decisions_come_with_their_statements_and_appeals_without_words(
    client: TestClient, exporter: Callable[..., Exporter], rows: Rows, database: Database
) -> None:
    rows.verdict(rows.image("cat"), verdict=VerdictValue.AI_GENERATED)
    rows.verdict(rows.image("dog"))
    for image_id, terms in (("cat", TERMS), ("dog", {})):
        assert client.post(f"/v1/images/{image_id}/decisions", json=terms).status_code == 201
    stated = client.get("/v1/images/cat/statement").json()["statement"]
    appeals = Appeals(database)
    case = appeals.add(Actor("p"), "cat", reason="my own words", contact="user-42")
    assert case is not None
    appeals.decide(Actor("r"), case.appeal.id, LabelValue.NOT_AI_GENERATED, reviewer="lena", reason="her words")
    with database.transaction() as session:
        for table in ("platform_decision", "appeal"):
            session.execute(text(f"UPDATE {table} SET created_at = '{DAY.isoformat()}'"))  # noqa: S608
    decisions, complaints = ask(client, "decisions"), ask(client, "appeals", "csv")
    while exporter().export_once():
        pass
    complete, incomplete = read(client, decisions)
    assert json.loads(complete["statement"]) == stated
    assert (complete["missing_terms"], incomplete["statement"]) == (None, None)
    assert incomplete["missing_terms"].startswith("decision_visibility decision_ground")
    (appeal,) = read(client, complaints)
    assert (appeal["state"], appeal["verdict"]) == ("upheld", "not_ai_generated")
    assert [word for word in ("words", "user-42", "lena") if word in str(appeal)] == []


def test_what_is_erased_is_left_out(
    client: TestClient, exporter: Callable[..., Exporter], verdicts: list[int], database: Database
) -> None:
    with database.transaction() as session:
        of_first = select(Image.image_id).join(Verdict, Verdict.image_pk == Image.id).where(Verdict.id == verdicts[1])
        image_id = session.scalar(of_first)
    Erasure(database, "artifacts").erase(Actor("me"), str(image_id))
    export_id = ask(client)
    exporter().export_once()
    assert [row["verdict_id"] for row in read(client, export_id)] == verdicts[2:-1]


def test_an_empty_period_is_one_file_without_rows(client: TestClient, exporter: Callable[..., Exporter]) -> None:
    export_id = ask(client, form="csv")
    exporter().export_once()
    assert read(client, export_id) == []


def test_removal_and_retention_take_the_files_along(
    client: TestClient, exporter: Callable[..., Exporter], database: Database, object_store: Buckets
) -> None:
    first, second = ask(client), ask(client)
    while exporter().export_once():
        pass
    assert client.delete(f"/v1/exports/{first}").status_code == 204
    assert client.delete(f"/v1/exports/{first}").status_code == 404
    assert client.get(f"/v1/exports/{first}").status_code == 404
    with database.transaction() as session:
        session.execute(text("UPDATE export SET finished_at = now() - interval '8 days'"))
    assert Exports(database, object_store.artifacts).drop(7, most=9) == 1
    doomed = {(entry.bucket, entry.key) for entry in PendingDeletions(database).take(9)}
    assert doomed == {(object_store.artifacts, f"exports/{one}/") for one in (first, second)}
    assert client.get("/v1/exports").json()["items"] == []


def test_what_fails_again_and_again_ends_with_its_reason(
    client: TestClient, exporter: Callable[..., Exporter], database: Database
) -> None:
    def upload(*_: Any) -> None:
        raise RuntimeError("secret")

    export_id = ask(client)
    for _ in range(5):
        with pytest.raises(RuntimeError):
            exporter(upload).export_once()
        with database.transaction() as session:
            session.execute(text("UPDATE export SET due_at = now() - interval '1 second' WHERE state = 'running'"))
    export = client.get(f"/v1/exports/{export_id}").json()
    assert (export["state"], export["error"], export["files"]) == ("failed", "RuntimeError", [])
    assert exporter().export_once() is False


def test_the_workers_role_may_make_them(
    client: TestClient, exporter: Callable[..., Exporter], database: Database, verdicts: list[int]
) -> None:
    establish_roles(database)
    ids = [ask(client, content) for content in ("verdicts", "decisions", "appeals")]
    as_worker = connect(url_of(Role.WORKER, database.engine.url).render_as_string(hide_password=False))
    while exporter(database=as_worker).export_once():
        pass
    as_worker.engine.dispose()
    assert [len(read(client, one)) for one in ids] == [len(verdicts) - 2, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"since": PERIOD["until"]},
        {"until": "2999-01-01T00:00:00Z"},
        {"since": "2026-03-01"},
        {"content": "labels"},
        {"format": "xlsx"},
        {"x": 1},
    ],
)
def test_what_cannot_be_exported_is_refused(client: TestClient, changes: dict[str, Any]) -> None:
    body = {"content": "verdicts", **PERIOD, **changes}
    assert client.post("/v1/exports", json=body).status_code == 422


def test_only_an_admin_exports(services: Services, database: Database) -> None:
    key = ApiKeys(database).create("reader", [Scope.READ, Scope.REVIEW]).key
    with TestClient(create_app(services), headers={"Authorization": f"Bearer {key}"}) as reader:
        assert reader.post("/v1/exports", json={"content": "verdicts", **PERIOD}).status_code == 403
        assert reader.get("/v1/exports").status_code == 403
