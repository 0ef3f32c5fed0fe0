from collections.abc import Callable, Iterator
from dataclasses import replace
from re import search
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from api.answers.answer_cache import AnswerCache
from api.key_ring import KeyRing
from api.main import create_app, readiness_of
from api.services import Services, stores_over
from tests.support.api_world import fake_world
from worker.database.api_keys import ApiKeys, Scope
from worker.database.migrate import upgrade
from worker.database.served import Queries
from worker.database.session import Database, connect
from worker.database.tables import Bundle, BundleRole, Heatmap, Image, Scan, ScanKind, ScanState, Verdict
from worker.decisions.vocabulary import DecidedBy, VerdictValue
from worker.ingest.register import Register
from worker.objects.clients import s3_client
from worker.objects.object_store import ObjectStore
from worker.settings import Settings

BUNDLE = "api-tests"
SITE = "https://testserver"
SignIn = Callable[..., tuple[TestClient, str]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep log lines from being rendered: tracebacks take longer than all the rest."""
    with capture_logs():
        yield


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    connected = connect(database_url)
    upgrade(connected)
    with connected.transaction() as session:
        bundle = {"version": BUNDLE, "name": "tests", "role": BundleRole.REGISTERED, "location": "x", "card": {}}
        session.execute(upsert(Bundle).values(**bundle).on_conflict_do_nothing())
    yield connected
    connected.engine.dispose()


@pytest.fixture
def queries(database: Database) -> Queries:
    return Queries(database)


class Rows:
    """Puts rows where the worker and the reviewers would put them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def image(self, image_id: str, **columns: Any) -> int:
        key = uuid4().hex
        known = {
            "image_id": image_id,
            "source": "s",
            "bucket": "uploads",
            "key": key,
            "version": "v",
            "versioned": False,
        }
        return self._insert(Image, {**known, **columns})

    def scan(self, image_pk: int, state: ScanState = ScanState.COMPLETED, **columns: Any) -> int:
        known = {"image_pk": image_pk, "kind": ScanKind.LIVE, "queue": "scan.live", "state": state, "due_at": None}
        return self._insert(Scan, {**known, **columns})

    def verdict(self, image_pk: int, decided_by: DecidedBy = DecidedBy.MACHINE, **columns: Any) -> int:
        by_machine: dict[str, Any] = {"bundle_version": BUNDLE, "policy_version": 1, "probability": 0.5}
        made = {} if decided_by == DecidedBy.HUMAN else by_machine
        known = {"image_pk": image_pk, "verdict": VerdictValue.UNCERTAIN, "decided_by": decided_by, "detectors": {}}
        return self._insert(Verdict, {**known, "provenance": {}, **made, **columns})

    def heatmap(self, verdict_id: int, detector: str, **columns: Any) -> int:
        known = {"verdict_id": verdict_id, "detector": detector, "method": "grad-cam", "layer": "ln_1"}
        return self._insert(Heatmap, {**known, "bundle_version": BUNDLE, "key": f"{verdict_id}/{detector}", **columns})

    def policy(self) -> int:
        """Make one more policy version, so that an image may have one more machine verdict."""
        with self._database.transaction() as session:
            made = text(
                "INSERT INTO policy (prior_shift, false_positive_budget, miss_budget, by_source, created_by) "
                "VALUES (0, 0.01, 0.05, '{}', 'tests') RETURNING version"
            )
            return int(session.scalar(made) or 0)

    def _insert(self, table: Any, columns: dict[str, Any]) -> int:
        with self._database.transaction() as session:
            return _inserted(session, table, columns)


def _inserted(session: Session, table: Any, columns: dict[str, Any]) -> int:
    return int(session.scalars(insert(table).values(**columns).returning(table.id)).one())


@pytest.fixture
def rows(database: Database) -> Rows:
    return Rows(database)


@pytest.fixture
def services(database: Database, object_store: Any, stack_settings: Settings) -> Services:
    """The real thing: Postgres, the object store with buckets of this test's own, and ingest between them."""
    uploads, plain, artifacts = object_store.uploads, object_store.plain, object_store.artifacts
    objects = ObjectStore(s3_client(stack_settings))
    stores = stores_over(database, artifacts, actor_key="a secret of at least thirty-two characters")
    return replace(
        fake_world().services,
        queries=Queries(database),
        stores=stores,
        figures=AnswerCache(stores.figures, seconds=0),
        keys=KeyRing(ApiKeys(database)),
        objects=objects,
        register=Register(database, objects, upload_buckets=[uploads, plain], artifact_bucket=artifacts),
        readiness=readiness_of(database, objects, (uploads, artifacts)),
        upload_bucket=uploads,
        artifact_bucket=artifacts,
    )


@pytest.fixture
def fresh_id() -> Callable[[], str]:
    """Return ids that no other test has."""
    return lambda: f"dir/a b+ü%.jpg#{uuid4().hex}"


@pytest.fixture
def sign_in(services: Services, database: Database) -> Iterator[SignIn]:
    """Signs in with a new key of these scopes; gives the client and what its forms carry."""
    app, clients = create_app(services), []

    def signed_in(*scopes: Scope) -> tuple[TestClient, str]:
        client = TestClient(app, base_url=SITE, follow_redirects=False)
        clients.append(client)
        key = ApiKeys(database).create("visitor", scopes).key
        answer = client.post("/console/sign-in", data={"key": key})
        assert answer.status_code == 303
        found = search('name="csrf" value="([0-9a-f]{64})"', client.get("/console/policies").text)
        assert found is not None
        return client, found.group(1)

    yield signed_in
    for client in clients:
        client.close()
