"""Fixtures that every test may ask for; the embedded stack starts when the first one does."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, select, text

from infra import debian
from infra.cli.environment import adopt
from infra.embedded.addresses import StackAddresses
from infra.embedded.stack import PARTS, EmbeddedStack
from tests.support.assay_up import in_ci
from tests.support.groups import Groups
from worker.database.bundles import SHIPPED, crown, crown_shipped, register_bundle
from worker.database.due_scans import take_due
from worker.database.images import LIVE_QUEUE, NewImage, insert_image_and_scan
from worker.database.migrate import upgrade
from worker.database.session import Database, connect
from worker.database.tables import Bundle, Scan, Verdict
from worker.objects.clients import client_arguments
from worker.objects.object_store import ObjectStore
from worker.objects.object_store import object_store as connect_object_store
from worker.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient

# As the worker does, and before any test imports torch: threads that spin while they wait take the time of others.
adopt({"OMP_WAIT_POLICY": "PASSIVE"})

# What is not configured writes its logs to stdout, which belongs to the results of commands.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

# The same examples every time, however slow the machine is that day.
settings.register_profile("assay", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("assay")

_TEMPLATE = "assay_template"
_numbers = count(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Let several processes share the tests by group."""
    return Groups(config, log)


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Keep torch, where a chosen test imports it, to one thread: networks this small only lose by more."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackAddresses]:
    """The embedded Postgres, Valkey and object store, on free ports, for the whole run."""
    data_dir = tmp_path_factory.mktemp("stack") / ".assay"
    with EmbeddedStack(data_dir, fixed_ports=dict.fromkeys(PARTS, 0)) as addresses:
        yield addresses
    shutil.rmtree(data_dir)


@dataclass(frozen=True)
class Databases:
    """Makes databases on the stack's Postgres."""

    url: URL
    admin: Engine

    def create(self, template: str | None = None) -> URL:
        """Make a database, empty or a copy of a template; return its URL."""
        name = f"assay_test_{next(_numbers)}"
        with self.admin.connect() as connection:
            # Copied as files, which takes half the time of the write-ahead log's way: nothing is synced here.
            copied = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
            connection.execute(text(f"CREATE DATABASE {name}{copied}"))
        return self.url.set(database=name)

    def drop(self, url: URL) -> None:
        """Remove a database, whoever is connected."""
        with self.admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {url.database} WITH (FORCE)"))


@pytest.fixture(scope="session")
def databases(stack: StackAddresses) -> Iterator[Databases]:
    url = make_url(stack.database_url)
    admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        # Nothing here outlives the run, and a hundred databases would be synced to disk one by one.
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("SELECT pg_reload_conf()"))
    yield Databases(url, admin)
    admin.dispose()


@pytest.fixture(scope="session")
def migrated_template(databases: Databases) -> str:
    """The name of a migrated database that others are copied from."""
    with databases.admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {_TEMPLATE}"))
    database = connect(databases.url.set(database=_TEMPLATE).render_as_string(hide_password=False))
    upgrade(database)
    database.engine.dispose()
    return _TEMPLATE


@pytest.fixture
def database_url(databases: Databases, migrated_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated database of this test's own."""
    url = databases.create(migrated_template)
    yield url.render_as_string(hide_password=False)
    databases.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database of this test's own."""
    connected = connect(database_url)
    yield connected
    connected.engine.dispose()


@dataclass(frozen=True)
class Scanned:
    """A database with scans in it, and the hands to move them on."""

    database: Database

    def crown(self, version: str = "b1", name: str = "wild") -> str:
        """Make a bundle champion; return the champion's version."""
        with self.database.transaction() as session:
            new = register_bundle(session, version=version, name=name, location=SHIPPED + name, card={})
            if new:
                crown(session, session.get_one(Bundle, version), created_by="test", reason="a test wants it")
            return crown_shipped(session, version)

    def arrive(self, key: str = "a.png", queue: str = LIVE_QUEUE, version: str = "v1") -> int:
        """Make an image and its live scan; return the scan's id."""
        image = NewImage(key, "uploads", "uploads", key, version, versioned=True, size_bytes=None)
        with self.database.transaction() as session:
            return insert_image_and_scan(session, image, queue)[1]

    def dispatch(self, queue: str = LIVE_QUEUE, max_in_flight: int = 100) -> list[int]:
        """Take what is due in a queue; return the ids."""
        with self.database.transaction() as session:
            return take_due(session, queue, max_in_flight=max_in_flight, dispatch_seconds=60)

    def overdue(self, *scan_ids: int) -> None:
        """Let the time of these scans come: of their next attempt, their dispatch or their lease."""
        with self.database.transaction() as session:
            for scan_id in scan_ids:
                session.get_one(Scan, scan_id).due_at = session.scalar(text("SELECT now() - interval '1 second'"))

    def scan(self, scan_id: int) -> Scan:
        """Read a scan."""
        with self.database.transaction() as session:
            return session.get_one(Scan, scan_id)

    def verdicts(self) -> list[Verdict]:
        """Read every verdict, oldest first."""
        with self.database.transaction() as session:
            return list(session.scalars(select(Verdict).order_by(Verdict.id)))


@pytest.fixture
def scanned(database: Database) -> Scanned:
    """A fresh database and the hands to make images and scans in it."""
    return Scanned(database)


@dataclass(frozen=True)
class Buckets:
    """A real object store with buckets and a queue of one test's own.

    Attributes:
        objects: the store as Assay sees it.
        s3: the client of the platform that uploads.
        sqs: the client of its queues.
        uploads: an upload bucket that keeps versions, its events go to ``queue_url``.
        plain: an upload bucket that keeps none and sends no events.
        artifacts: the artifact bucket.
        queue_url: where the events of ``uploads`` arrive.
    """

    objects: ObjectStore
    s3: "S3Client"
    sqs: "SQSClient"
    uploads: str
    plain: str
    artifacts: str
    queue_url: str

    def put(self, bucket: str, key: str, body: bytes = b"bytes", metadata: Mapping[str, str] | None = None) -> Any:
        """Upload as a platform does; return the store's answer."""
        return self.s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata or {})


@pytest.fixture
def stack_settings(stack: StackAddresses) -> Settings:
    """Settings that point at the stack, as its processes are given them."""
    return Settings.model_validate(
        {
            "database_url": stack.database_url,
            "redis_url": stack.redis_url,
            "s3_endpoint_url": stack.s3_endpoint_url,
            "s3_access_key_id": stack.s3_access_key,
            "s3_secret_access_key": stack.s3_secret_key,
            "s3_region": stack.s3_region,
            "sqs_endpoint_url": stack.s3_endpoint_url,
        }
    )


@pytest.fixture
def object_store(stack_settings: Settings) -> Buckets:
    """The stack's object store with buckets and a queue of this test's own."""
    s3: S3Client = boto3.client("s3", **client_arguments(stack_settings, stack_settings.s3_endpoint_url))
    sqs: SQSClient = boto3.client("sqs", **client_arguments(stack_settings, stack_settings.sqs_endpoint_url))
    number = next(_numbers)
    uploads, plain, artifacts = f"uploads-{number}", f"plain-{number}", f"artifacts-{number}"
    for bucket in (uploads, plain, artifacts):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=uploads, VersioningConfiguration={"Status": "Enabled"})
    queue_url = sqs.create_queue(QueueName=f"events-{number}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    may_send = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may_send]})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
    s3.put_bucket_notification_configuration(
        Bucket=uploads,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    return Buckets(connect_object_store(stack_settings), s3, sqs, uploads, plain, artifacts, queue_url)


def _together(*acts: Callable[[], Any]) -> list[Any]:
    barrier = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - what was raised is the result.
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.fixture(scope="session")
def together() -> Callable[..., list[Any]]:
    """Runs callables at the same moment, each in its thread; gives what each returned or raised."""
    return _together


@pytest.fixture(scope="session")
def debian_program() -> Callable[[str], str]:
    """Finds a program that a Debian package brings; without it the test is not run, which in CI is a failure."""

    def find(program: str) -> str:
        path = debian.find(program)
        if path is None:
            reason = f"needs {program}; as root: {debian.command(program)}"
            if in_ci():
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return Path(__file__).parents[1]
